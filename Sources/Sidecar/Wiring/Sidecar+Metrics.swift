import ControlAPI
import Discovery
import Health
import Journal
import LebaConfiguration
import Model
import Proxy
import Synchronization

/// The parts' own statistics in the shape of docs/METRICS.md. The failover metrics are ControlAPI's: it has the engine's view.
extension Sidecar {
  func proxyMetrics() -> [MetricFamily] {
    let statistics = proxy.statistics()
    var connections = MetricFamily("leba_connections_total", .counter, help: "Client connections that ended, by outcome.")
    var active = MetricFamily("leba_connections_active", .gauge, help: "Sessions that have a backend or connect to one.")
    var held = MetricFamily("leba_connections_held", .gauge, help: "Connections that wait for somebody to serve them.")
    var bytes = MetricFamily("leba_bytes_total", .counter, help: "Bytes received from clients and sent to them.")
    var retries = MetricFamily("leba_retries_total", .counter, help: "Sessions turned to another backend before a byte was sent.")
    for (name, listener) in statistics.listeners.sorted(by: { $0.key < $1.key }) {
      let label = ("listener", name.rawValue)
      // Zero counts are there too: a rate over the first event must not be lost.
      for outcome in Outcome.allCases {
        connections.samples.append(.init([label, ("outcome", outcome.rawValue)], Double(listener.ended[outcome] ?? 0)))
      }
      for reason in RetryReason.allCases {
        retries.samples.append(.init([label, ("reason", reason.rawValue)], Double(listener.retries[reason] ?? 0)))
      }
      for (backend, count) in listener.activeByBackend.sorted(by: { $0.key < $1.key }) {
        active.samples.append(.init([label, ("backend", backend.rawValue)], Double(count)))
      }
      bytes.samples.append(.init([label, ("direction", "received")], Double(listener.received)))
      bytes.samples.append(.init([label, ("direction", "sent")], Double(listener.sent)))
    }
    for group in Set(listeners.open.map(\.group)).sorted() {
      held.samples.append(.init([("group", group.rawValue)], Double(statistics.held[group] ?? 0)))
    }
    let pauses = MetricFamily(
      "leba_accept_pauses_total", .counter, help: "How often accepting paused for want of descriptors or memory.",
      samples: [.init([], Double(statistics.acceptPauses))])
    return [connections, active, held, holdTimes(statistics), bytes, retries, pauses]
  }

  private func holdTimes(_ statistics: ProxyStatistics) -> MetricFamily {
    var seconds = MetricFamily(
      "leba_hold_seconds", .histogram, help: "How long connections that were held waited until they had a backend.")
    for (group, times) in statistics.holdTimes.sorted(by: { $0.key < $1.key }) {
      seconds.addHistogram([("group", group.rawValue)], bounds: PhaseHistogram.bounds, counts: times.counts, sum: times.sum)
    }
    return seconds
  }

  func discoveryMetrics() -> [MetricFamily] {
    var lookups = MetricFamily("leba_dns_lookups_total", .counter, help: "Lookups by how they ended.")
    var seconds = MetricFamily("leba_dns_lookup_seconds", .summary, help: "How long lookups took.")
    var changes = MetricFamily("leba_dns_backend_changes_total", .counter, help: "Endpoints a name gained and lost.")
    var age = MetricFamily("leba_dns_answer_age_seconds", .gauge, help: "Time since a server last vouched for the addresses.")
    var refused = MetricFamily("leba_dns_addresses_refused_total", .counter, help: "Addresses refused by the address filter.")
    let now = Instant.monotonicNow
    for domain in discovery.status() {
      let label = ("domain", domain.domain.rawValue)
      for outcome in LookupLabel.allCases {
        lookups.samples.append(.init([label, ("outcome", outcome.text)], Double(domain.lookups[outcome] ?? 0)))
      }
      seconds.samples.append(.init([label], domain.lookupDurations.seconds, suffix: "_sum"))
      seconds.samples.append(.init([label], Double(domain.lookups.values.reduce(0, +)), suffix: "_count"))
      changes.samples.append(.init([label, ("change", "added")], Double(domain.addedEndpoints)))
      changes.samples.append(.init([label, ("change", "removed")], Double(domain.removedEndpoints)))
      refused.samples.append(.init([label], Double(domain.refusedTotal)))
      if let answered = domain.lastAnswered { age.samples.append(.init([label], (now - answered).seconds)) }
    }
    var queries = MetricFamily(
      "leba_dns_queries_total", .counter, help: "Queries sent to each name server, by whether it answered.")
    for server in discovery.servers() {
      let label = ("server", server.address.description)
      queries.samples.append(.init([label, ("result", "answered")], Double(server.answered)))
      queries.samples.append(.init([label, ("result", "failed")], Double(server.failed)))
    }
    return [lookups, seconds, changes, age, refused, queries]
  }

  /// What TXT strings say without effect: what discovery could not read, and what the topology had no use for.
  func ignoredTextMetrics() async -> MetricFamily {
    var ignored = MetricFamily(
      "leba_dns_ignored_attributes_total", .counter, help: "TXT strings that had no effect, by reason.")
    let ineffective = await loop.ask { state, _ in state.topology.ignored }
    for domain in discovery.status() {
      var counts: [String: UInt64] = [:]
      for (reason, count) in domain.ignoredText { counts[reason.rawValue, default: 0] += count }
      for (text, count) in ineffective[domain.domain] ?? [:] { counts[text.reason.rawValue, default: 0] += UInt64(count) }
      for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
        ignored.samples.append(.init([("domain", domain.domain.rawValue), ("reason", reason)], Double(count)))
      }
    }
    return ignored
  }

  /// What the control loop saw of changes of primary, and what the workers saw.
  func phaseMetrics() async -> MetricFamily {
    var metrics = PhaseMetrics()
    for (group, phases) in await loop.ask({ state, _ in state.phases.byGroup }) {
      metrics.add(phases.detect, to: .detect, of: group)
      metrics.add(phases.decide, to: .decide, of: group)
    }
    for (group, phases) in proxy.statistics().phases {
      metrics.add(phases.firstConnection, to: .firstConnection, of: group)
      metrics.add(phases.lastStaleSession, to: .lastStaleSession, of: group)
    }
    return metrics.family
  }

  func hostMetrics() -> [MetricFamily] {
    let lateness = health.hostLateness
    return [
      MetricFamily(
        "leba_host_stalls_total", .counter, help: "How often the probes' own timers fired late: this host was slow.",
        samples: [.init([], Double(lateness.stalls))]),
      MetricFamily(
        "leba_host_stall_seconds_total", .counter, help: "How late they fired, in all; given back to the probes in flight.",
        samples: [.init([], lateness.total.seconds)]),
    ]
  }

  var journalMetrics: MetricFamily {
    let isOpen = if case .open = journal.state { true } else { false }
    return MetricFamily(
      "leba_journal_up", .gauge, help: "1 while state and history are written to the disk.",
      samples: [.init([], isOpen ? 1 : 0)])
  }

  func probeMetrics() -> [MetricFamily] {
    var seconds = MetricFamily("leba_probe_seconds", .histogram, help: "How long passed probes took.")
    var probes = MetricFamily("leba_probes_total", .counter, help: "Probes by result.")
    for (member, statistics) in health.statistics().sorted(by: { $0.key < $1.key }) {
      let labels = [("group", member.group.rawValue), ("backend", member.backend.rawValue)]
      let latencies = statistics.latencies
      seconds.addHistogram(labels, bounds: LatencyHistogram.bounds, counts: latencies.counts, sum: latencies.sum)
      probes.samples.append(.init(labels + [("result", "passed")], Double(statistics.passed)))
      probes.samples.append(.init(labels + [("result", "failed")], Double(statistics.failed)))
    }
    return [seconds, probes]
  }
}
