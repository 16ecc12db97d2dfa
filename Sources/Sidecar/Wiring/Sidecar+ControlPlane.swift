import ControlAPI
import Discovery
import Failover
import Journal
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization

/// What the API may ask of the process: reads and requests, each taking its turn in the control loop.
extension Sidecar: ControlPlane {
  var isHandingOver: Bool { givesAway.withLock { $0 } }

  func view() async -> ControlView {
    await loop.ask { state, now in
      ControlView(now: now, groups: state.engine.groups.map { $0.snapshot(at: now) }, counts: state.counts)
    }
  }

  func status() async -> StatusView {
    let groups = await view().groups
    let now = Instant.monotonicNow
    let connections = proxy.statistics()
    return StatusView(
      state: state(groups), version: VersionCommand.current, uptimeSeconds: (ContinuousClock.now - startedAt).seconds,
      engine: proxy.engine.name, connectionLimit: proxy.connectionLimit, zone: configuration.zone,
      configuration: configurationStatus,
      listeners: listeners.open.map { listener in
        StatusView.Listener(
          name: listener.name.rawValue, address: listener.address.description, group: listener.group.rawValue,
          role: listener.role.rawValue, activeConnections: connections.listeners[listener.name]?.active ?? 0)
      },
      domains: discovery.status().map { domain in
        StatusView.Domain(
          domain: domain.domain.rawValue, outcome: domain.lastOutcome?.text ?? "pending",
          addresses: domain.records.map(\.endpoint.address.description), ageSeconds: domain.lastAnswered.map { (now - $0).seconds })
      },
      journal: journalView)
  }

  private var journalView: StatusView.Journal {
    let verdict = auditVerdict.withLock { $0 }
    let records: Int? = if case .whole(let records) = verdict { records } else { nil }
    let brokenAt: String? = if case .broken(let at, let problem) = verdict { "record \(at): \(problem)" } else { nil }
    switch journal.state {
    case .open(let path): return StatusView.Journal(path: path, problem: nil, records: records, brokenAt: brokenAt)
    case .unavailable(let reason): return StatusView.Journal(path: nil, problem: reason, records: records, brokenAt: brokenAt)
    }
  }

  /// Ready means: every listener is open and every group has had its first verdict.
  private func state(_ groups: [GroupSnapshot]) -> StatusView.State {
    switch phase.withLock({ $0 }) {
    case .starting: .starting
    case .draining: .draining
    case .running: groups.contains { $0.state == .starting } ? .starting : .ready
    }
  }

  func activeConnections() async -> [MemberKey: Int] {
    let groups = Dictionary(uniqueKeysWithValues: listeners.open.map { ($0.name, $0.group) })
    var counts: [MemberKey: Int] = [:]
    for (name, listener) in proxy.statistics().listeners {
      guard let group = groups[name] else { continue }
      for (backend, count) in listener.activeByBackend { counts[MemberKey(group: group, backend: backend), default: 0] += count }
    }
    return counts
  }

  func metrics() async -> [MetricFamily] {
    proxyMetrics() + discoveryMetrics() + [await ignoredTextMetrics()] + probeMetrics() + hostMetrics()
      + [await phaseMetrics(), journalMetrics]
  }
}
