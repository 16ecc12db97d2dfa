package import Model

/// What the workers counted, at one moment per worker. For each listener `accepted` is the sum of `ended` and `active`.
package struct ProxyStatistics: Equatable, Sendable {
  package struct Listener: Equatable, Sendable {
    package var accepted: UInt64 = 0
    package var ended: [Outcome: UInt64] = [:]
    /// Accepted and not ended: relaying, connecting, held, or waiting for the client's first byte.
    package var active = 0
    /// Bytes from clients.
    package var received: UInt64 = 0
    /// Bytes to clients.
    package var sent: UInt64 = 0
    package var retries: [RetryReason: UInt64] = [:]
    /// Sessions that have a backend or are connecting to one. Backends without any are left out.
    package var activeByBackend: [BackendID: Int] = [:]

    package init() {}
  }

  package var listeners: [ListenerName: Listener] = [:]
  /// Connections held now. Groups without any are left out.
  package var held: [GroupName: Int] = [:]
  /// How long connections that were held waited until they had a backend.
  package var holdTimes: [GroupName: PhaseHistogram] = [:]
  /// What failovers took, for groups that had one.
  package var phases: [GroupName: FailoverPhases] = [:]
  /// How often accepting paused: at the connection limit, or because the kernel had no descriptor or memory for more.
  package var acceptPauses: UInt64 = 0

  package init() {}

  mutating func add(_ worker: WorkerStatistics) {
    for part in worker.listeners {
      var sum = listeners[part.name, default: Listener()]
      sum.accepted += part.accepted
      sum.active += part.active
      sum.received += part.received
      sum.sent += part.sent
      for outcome in Outcome.allCases where part.ended[outcome.ordinal] > 0 {
        sum.ended[outcome, default: 0] += part.ended[outcome.ordinal]
      }
      for reason in RetryReason.allCases where part.retries[reason.ordinal] > 0 {
        sum.retries[reason, default: 0] += part.retries[reason.ordinal]
      }
      listeners[part.name] = sum
    }
    for part in worker.backends {
      listeners[part.listener, default: Listener()].activeByBackend[part.backend, default: 0] += part.count
    }
    for part in worker.held { held[part.group, default: 0] += part.count }
    for part in worker.holdTimes { holdTimes[part.group, default: PhaseHistogram()].add(part.times) }
    for part in worker.phases { phases[part.group, default: FailoverPhases()].add(part.phases) }
    acceptPauses += worker.acceptPauses
  }
}

/// One worker's share, copied between two passes over its sockets: nothing on the data path is shared or atomic.
struct WorkerStatistics: Sendable {
  var listeners: [ListenerSlot] = []
  var backends: [(listener: ListenerName, backend: BackendID, count: Int)] = []
  var held: [(group: GroupName, count: Int)] = []
  var holdTimes: [(group: GroupName, times: PhaseHistogram)] = []
  var phases: [(group: GroupName, phases: FailoverPhases)] = []
  var acceptPauses: UInt64 = 0
}
