import Failover
import Model

extension ControlView {
  /// The metrics of the requirements document, derived from one consistent look at the engine.
  var metrics: [MetricFamily] {
    var events = MetricFamily("leba_failover_events_total", .counter, help: "Changes of primary, by group and reason.")
    var sinceLast = MetricFamily(
      "leba_failover_seconds_since_last", .gauge, help: "Seconds since the last change of primary; +Inf when there was none.")
    var primary = MetricFamily(
      "leba_group_primary", .gauge, help: "1 for the current primary of a group, 0 for its other backends.")
    var healthy = MetricFamily("leba_group_healthy_backends", .gauge, help: "Backends of a group whose probes pass.")
    var failed = MetricFamily("leba_group_failed_backends", .gauge, help: "Backends of a group whose probes fail.")
    var suspended = MetricFamily(
      "leba_group_suspended", .gauge, help: "1 while automatic changes of primary are suspended, else 0.")
    var holding = MetricFamily("leba_group_holding", .gauge, help: "1 while nobody can serve and new connections wait, else 0.")
    var failedOver = MetricFamily(
      "leba_group_failed_over", .gauge, help: "1 while another backend than the one named as primary serves, else 0.")
    var refused = MetricFamily(
      "leba_group_addresses_refused_total", .counter, help: "Discovered addresses outside of the group's allowed_cidrs.")
    var score = MetricFamily(
      "leba_backend_health_score", .gauge, help: "Health score, 0 to 100.")
    for group in groups {
      let label = ("group", group.name.rawValue)
      // Every reason is there from the start, at zero, so that a rate over the first failover is not lost.
      for reason in Reason.labelsOfChanges {
        events.samples.append(.init([label, ("reason", reason)], Double(counts.changes(of: group.name, because: reason))))
      }
      sinceLast.samples.append(.init([label], group.lastFailover.map { (now - $0).seconds } ?? .infinity))
      healthy.samples.append(.init([label], Double(group.healthyCount)))
      refused.samples.append(.init([label], Double(group.refusedAddresses)))
      failed.samples.append(.init([label], Double(group.failedCount)))
      suspended.samples.append(.init([label], group.suspension == nil ? 0 : 1))
      holding.samples.append(.init([label], group.state == .holding ? 1 : 0))
      failedOver.samples.append(.init([label], group.state == .failedOver ? 1 : 0))
      for member in group.members {
        let labels = [label, ("backend", member.id.rawValue)]
        primary.samples.append(.init(labels, member.id == group.primary ? 1 : 0))
        if let value = member.score { score.samples.append(.init(labels, Double(value))) }
      }
    }
    var audit = MetricFamily("leba_audit_records_total", .counter, help: "Decisions recorded, by kind.")
    for kind in Decision.Kind.allCases {
      audit.samples.append(.init([("kind", kind.rawValue)], Double(counts.byKind[kind] ?? 0)))
    }
    return [events, sinceLast, primary, healthy, failed, suspended, holding, failedOver, refused, score, audit]
  }
}
