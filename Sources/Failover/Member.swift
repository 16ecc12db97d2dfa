package import Model

/// One backend in one group: four separate facts, from which eligibility is derived and always has a reason.
package struct Member: Hashable, Sendable {
  /// What an operator wants of it.
  package enum Administrative: String, Hashable, Sendable {
    case inService = "in_service"
  }

  /// Who says that it exists.
  package enum Discovered: Hashable, Sendable {
    case configured
    case named(Set<DomainName>)
    /// No name leads to it any more. It serves on until the hold time passes or its probes fail too.
    case absent(since: Instant)
  }

  package let id: BackendID
  package let address: SocketAddress
  /// Position of its source in the configuration: the order of preference.
  package internal(set) var rank: Int
  package internal(set) var proto: BackendProtocol
  package internal(set) var weight: Int
  package internal(set) var zone: String?
  package internal(set) var check: HealthCheck
  /// Discovery or configuration names it as the primary: the first of the two witnesses.
  package internal(set) var designated: Bool

  package internal(set) var administrative = Administrative.inService
  package internal(set) var discovered: Discovered
  package internal(set) var health: Health
  private var reportedRole: Role = .unknown
  private var roleProvedAt: Instant?
  /// Since when it could take the primary's place without interruption; nil while it could not.
  package internal(set) var eligibleSince: Instant?
  var lastEarlyProbe: Instant?

  init(id: BackendID, address: SocketAddress, rank: Int, source: MemberSource, discovered: Discovered, now: Instant) {
    self.id = id
    self.address = address
    self.rank = rank
    self.proto = source.proto
    self.weight = source.weight
    self.zone = source.zone
    self.check = source.check
    self.designated = source.isPrimary
    self.discovered = discovered
    self.health = Health(now: now)
  }

  /// What it last proved to be, or `unknown` once the proof is too old.
  package func role(at now: Instant) -> Role {
    guard let roleProvedAt, now - roleProvedAt <= check.roleLifetime else { return .unknown }
    return reportedRole
  }

  package func roleAge(at now: Instant) -> Duration? { roleProvedAt.map { now - $0 } }

  /// When the present proof of role stops being believed.
  var roleExpiry: Instant? {
    guard check.provesRole, reportedRole != .unknown, let roleProvedAt else { return nil }
    return roleProvedAt + check.roleLifetime
  }

  mutating func proveRole(_ role: Role, now: Instant) {
    reportedRole = role
    roleProvedAt = now
  }

  var isAbsent: Bool { if case .absent = discovered { true } else { false } }

  /// Nothing more is to be learned before it can be judged: it failed, or it passed and (where asked) said its role.
  func isSettled(at now: Instant) -> Bool {
    switch health.state {
    case .unknown: false
    case .down: true
    case .up: !check.provesRole || role(at: now) != .unknown
    }
  }

  // MARK: Eligibility

  package enum Ineligibility: Hashable, Sendable, CustomStringConvertible {
    case notProbed
    case down(ProbeFailure)
    case replica
    case roleUnknown

    package var description: String {
      switch self {
      case .notProbed: "not probed yet"
      case .down(let failure): "down: \(failure)"
      case .replica: "healthy, not eligible: replica"
      case .roleUnknown: "healthy, not eligible: role not proved"
      }
    }
  }

  /// Why this member could not be the primary of an active-passive group now; nil when it could.
  package func obstacle(at now: Instant) -> Ineligibility? {
    switch health.state {
    case .unknown: return .notProbed
    case .down(let failure): return .down(failure)
    case .up: return roleObstacle(at: now)
    }
  }

  /// The part of `obstacle` that even a forced choice respects: a server that is not proved writable gets no writes.
  func roleObstacle(at now: Instant) -> Ineligibility? {
    guard check.provesRole else { return nil }
    switch role(at: now) {
    case .primary: return nil
    case .replica: return .replica
    case .unknown: return .roleUnknown
    }
  }

  /// One line of evidence for the audit history.
  func evidence(at now: Instant) -> String {
    let role = check.provesRole ? ", role \(role(at: now).rawValue)" : ""
    let state =
      switch health.state {
      case .unknown: "not probed yet"
      case .up: "up"
      case .down(let failure): "down (\(failure))"
      }
    let absent = isAbsent ? ", not in DNS" : ""
    return "\(id): \(state)\(role)\(absent)"
  }
}
