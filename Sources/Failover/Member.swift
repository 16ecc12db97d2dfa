package import Model

/// One backend in one group: four separate facts, from which eligibility is derived and always has a reason.
package struct Member: Sendable {
  /// What the people who run it want of it.
  package enum Administrative: String, Hashable, Sendable {
    case inService = "in_service"
    /// Leaves for good: DNS drained it.
    case draining
    /// Stays a member and is to be left alone for now.
    case maintenance
  }

  /// Who says that it exists.
  package enum Discovered: Hashable, Sendable {
    case configured
    case named(Set<DomainName>)
    /// No name leads to it any more. It serves on until the hold time passes or its probes fail too.
    case absent(since: Instant)
    /// DNS took it out on purpose: no new connections, and its sessions have their time to end.
    case drained(since: Instant)
  }

  /// How a member goes that nothing names any more.
  enum Departure: Hashable, Sendable {
    case absent(since: Instant)
    case drained(since: Instant)
  }

  /// One of the group's sources names the member now, and this is what it says of it.
  struct Naming: Hashable, Sendable {
    /// Position of the source in the configuration.
    var rank: Int
    var tier: UInt16 = 0
    /// From the record; nil where it carries none.
    var weight: UInt16?

    func weight(in source: MemberSource) -> Int { source.weight ?? weight.map(Int.init) ?? 1 }
  }

  package let id: BackendID
  package let address: SocketAddress
  /// By rank.
  var namings: [Naming] = []
  /// Nil while something names it.
  var departure: Departure?
  var isInMaintenance = false

  /// Position of its source in the configuration: the order of preference.
  package internal(set) var rank: Int
  package internal(set) var tier: UInt16
  package internal(set) var weight: Int
  /// The first source that names it, or the last that did.
  private var source: SharedSource
  /// Discovery or configuration names it as the primary: the first of the two witnesses.
  package internal(set) var designated = false

  package internal(set) var health: Health
  private var reportedRole: Role = .unknown
  private var roleProvedAt: Instant?
  /// Since when it could take the primary's place without interruption; nil while it could not.
  package internal(set) var eligibleSince: Instant?
  var lastEarlyProbe: Instant?
  /// What came with its last proof of role.
  package internal(set) var replication: Replication?
  var reach = Reach()

  init(id: BackendID, address: SocketAddress, naming: Naming, source: SharedSource, now: Instant) {
    self.id = id
    self.address = address
    namings = [naming]
    rank = naming.rank
    tier = naming.tier
    weight = naming.weight(in: source.value)
    self.source = source
    health = Health(now: now)
  }

  /// Takes over what its first source says. Whether it is in maintenance is for all of them to say.
  mutating func adopt(_ source: SharedSource, _ naming: Naming) {
    rank = naming.rank
    tier = naming.tier
    weight = naming.weight(in: source.value)
    self.source = source
  }

  package var proto: BackendProtocol { source.value.proto }
  package var zone: String? { source.value.zone }
  package var check: HealthCheck { source.value.check }

  package var administrative: Administrative {
    if isInMaintenance { return .maintenance }
    if case .drained = departure { return .draining }
    return .inService
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

  /// Nothing more is to be learned before it can be judged: it is out of service, it failed, or it passed and (where asked) said
  /// its role.
  func isSettled(at now: Instant) -> Bool {
    if administrative != .inService { return true }
    switch health.state {
    case .unknown: return false
    case .down: return true
    case .up: return !check.provesRole || role(at: now) != .unknown
    }
  }

  // MARK: Eligibility

  package enum Ineligibility: Hashable, Sendable, CustomStringConvertible {
    case drained
    case maintenance
    case notProbed
    case down(ProbeFailure)
    case replica
    case roleUnknown

    package var description: String {
      switch self {
      case .drained: "drained by DNS"
      case .maintenance: "in maintenance"
      case .notProbed: "not probed yet"
      case .down(let failure): "down: \(failure)"
      case .replica: "healthy, not eligible: replica"
      case .roleUnknown: "healthy, not eligible: role not proved"
      }
    }
  }

  /// Why this member could not be the primary of an active-passive group now; nil when it could.
  package func obstacle(at now: Instant) -> Ineligibility? { plainObstacle ?? roleObstacle(at: now) }

  /// Why it could not serve in a normal group, where any healthy member does, whatever its role.
  var plainObstacle: Ineligibility? {
    switch administrative {
    case .draining: return .drained
    case .maintenance: return .maintenance
    case .inService: break
    }
    switch health.state {
    case .unknown: return .notProbed
    case .down(let failure): return .down(failure)
    case .up: return nil
    }
  }

  /// The part of `obstacle` that even a forced choice respects, besides what people decided about the member: a server that is not
  /// proved writable gets no writes.
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
    let discovered =
      switch departure {
      case .absent: ", not named"
      case .drained: ", drained by DNS"
      case nil: ""
      }
    let maintenance = isInMaintenance ? ", in maintenance" : ""
    let tier = tier > 0 ? ", tier \(tier)" : ""
    return "\(id): \(state)\(role)\(tier)\(discovered)\(maintenance)"
  }
}

/// What a source says, once for all the members it brings: a check is larger than everything else that is known of a member.
final class SharedSource: Sendable {
  let value: MemberSource
  init(_ value: MemberSource) { self.value = value }
}
