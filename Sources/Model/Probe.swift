/// What one probe of one member found, as a fact for the engine.
package struct ProbeReport: Hashable, Sendable {
  package let member: MemberKey
  package let outcome: ProbeOutcome
  /// Nil: as it is told. A pass that is no news may be told a moment later.
  package let found: Instant?

  package init(member: MemberKey, outcome: ProbeOutcome, found: Instant? = nil) {
    self.member = member
    self.outcome = outcome
    self.found = found
  }
}

package enum ProbeOutcome: Hashable, Sendable {
  /// `role` is nil where the check does not ask for it.
  case passed(latency: Duration, role: Role?, replication: Replication? = nil)
  case failed(ProbeFailure)
}

/// What a database says of its place in the stream of changes.
package struct Replication: Hashable, Sendable {
  /// Grows by one with each promotion: of two that call themselves primary, the higher is the later one.
  package var timeline: UInt32?
  /// Of a replica: since the last change it has replayed, zero when it has replayed all it received.
  package var lagTime: Duration?
  /// Of a replica: received or sent, and not replayed yet.
  package var lagBytes: UInt64?

  package init(timeline: UInt32? = nil, lagTime: Duration? = nil, lagBytes: UInt64? = nil) {
    self.timeline = timeline
    self.lagTime = lagTime
    self.lagBytes = lagBytes
  }
}

package struct ProbeFailure: Hashable, Sendable, CustomStringConvertible {
  /// Also the metric and API label.
  package enum Kind: String, CaseIterable, Hashable, Sendable {
    case refused
    case timedOut = "timed_out"
    case reset
    /// The peer ended the connection in good order, but too early.
    case closed
    case unreachable
    /// The answer was well-formed and wrong: an HTTP status, a missing body text, a Postgres FATAL.
    case badResponse = "bad_response"
    case protocolError = "protocol_error"
    /// The server is there and refuses our credentials: `28P01`, `28000`, a missing user, pg_hba.
    case authentication
    /// This host could not even try: no descriptors, no ports.
    case local

    /// The kernel or the peer answered at once: asking again costs a millisecond, and waiting an interval would only lose time.
    package var isAbrupt: Bool {
      switch self {
      case .refused, .reset, .closed, .unreachable: true
      case .timedOut, .badResponse, .protocolError, .authentication, .local: false
      }
    }
  }

  package let kind: Kind
  package let detail: String

  package init(_ kind: Kind, _ detail: String) {
    self.kind = kind
    self.detail = detail
  }

  package var description: String { "\(kind.rawValue): \(detail)" }
}

/// What the engine wants probed. `HealthChecker` keeps one prober per key and replaces it when the target changes.
package struct ProbeTarget: Hashable, Sendable {
  package let member: MemberKey
  package let address: SocketAddress
  package let check: HealthCheck

  package init(member: MemberKey, address: SocketAddress, check: HealthCheck) {
    self.member = member
    self.address = address
    self.check = check
  }
}
