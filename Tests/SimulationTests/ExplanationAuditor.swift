import Failover
import Model

/// What people are told must fit to what is so: the rule against who serves.
enum ExplanationAuditor {
  static func violations(_ explanation: Explanation, of group: Group, _ route: GroupRoute, now: Instant) -> [String] {
    let snapshot = explanation.snapshot
    let shadow = group.specification.shadow
    let isActivePassive = group.specification.mode == .activePassive
    let serving = route.serving(.primary)
    let fits: Bool
    switch explanation.rule {
    case "all_serve": fits = !isActivePassive && group.leader == nil
    case "awaiting_first_verdicts": fits = group.leader == nil && (serving.isEmpty || !isActivePassive)
    case "primary_serves":
      fits = group.override == nil && (shadow || !isActivePassive || serving == [group.leader].compactMap { $0 })
    case "override_serves":
      fits = group.override != nil && (shadow || !isActivePassive || serving == [group.leader].compactMap { $0 })
    case "override_waits": fits = group.override != nil && (shadow || !isActivePassive || serving.isEmpty)
    case "nobody_eligible": fits = !isActivePassive || group.members.allSatisfy { $0.obstacle(at: now) != nil }
    case "waiting_for_minimum_interval": fits = snapshot.nextAllowedChange != nil
    case "maximum_failovers_reached", "network_suspected": fits = snapshot.suspension != nil
    default: fits = false
    }
    var wrong: [String] = []
    if !fits { wrong.append("'\(explanation.rule)' is no explanation: \(explanation.decision)") }
    if explanation.decision.isEmpty { wrong.append("nothing is explained") }
    if snapshot.primary != group.leader { wrong.append("another primary is told than leads") }
    if snapshot.effectiveInterval < group.specification.minimumInterval {
      wrong.append("a shorter interval is told than configured")
    }
    return wrong.map { "\(group.name): \($0)" }
  }
}
