/// What one probe of one member found, as a fact for the engine.
package struct ProbeReport: Hashable, Sendable {
  package let member: MemberKey
  package let outcome: ProbeOutcome

  package init(member: MemberKey, outcome: ProbeOutcome) {
    self.member = member
    self.outcome = outcome
  }
}

package enum ProbeOutcome: Hashable, Sendable {
  /// `role` is nil where the check does not ask for it.
  case passed(latency: Duration, role: Role?)
  case failed(ProbeFailure)
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
