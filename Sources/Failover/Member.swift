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
    private var narrowRank: UInt32
    var tier: UInt16
    /// From the record; nil where it carries none.
    var weight: UInt16?

    init(rank: Int, tier: UInt16 = 0, weight: UInt16? = nil) {
      narrowRank = UInt32(clamping: rank)
      self.tier = tier
      self.weight = weight
    }

    /// Position of the source in the configuration.
    var rank: Int {
      get { Int(narrowRank) }
      set { narrowRank = UInt32(clamping: newValue) }
    }
  }

  /// Why people, or a window, want it out of service. Each is taken back by itself.
  struct Orders: OptionSet, Hashable, Sendable {
    let rawValue: UInt8
    static let drainedByOperator = Orders(rawValue: 1)
    /// Soon in maintenance.
    static let drainedByWindow = Orders(rawValue: 2)
    static let maintenanceWindow = Orders(rawValue: 4)
    static let windows: Orders = [.drainedByWindow, .maintenanceWindow]
  }

  /// What the proxies know of it.
  struct Announced: Hashable, Sendable {
    var standing = Standings(all: .idle)
    var share: UInt8 = 100
    var weight: UInt32 = 0
  }

  /// What few members have, or few of the time.
  private struct Rarity: Hashable, Sendable {
    var otherNamings: [Naming] = []
    var departure: Departure?
    var lastEarlyProbe: Instant?
    var startedSlowly: Instant?
    var reportedRole: Role = .unknown
    var roleProvedAt: Instant?
    var replication: Replication?
  }

  package let id: BackendID
  package let address: SocketAddress
  var announced = Announced()
  private var naming: Naming
  private var isNamed = true
  /// DNS or the configuration says so.
  var isInMaintenance = false
  var orders: Orders = []
  /// Discovery or configuration names it as the primary: the first of the two witnesses.
  package internal(set) var designated = false
  /// How many fifths of its traffic it does not get because of its score.
  var degradation: UInt8 = 0
  /// Its score fell below `eject_below` and has not recovered.
  var isFailing = false
  /// It is failing, and somebody else is not.
  var isEjected = false
  /// `check.provesRole`, without a walk over the criteria, nor a look at the source.
  package private(set) var provesRole: Bool
  /// The first source that names it, or the last that did.
  private var source: SharedSource
  private var rarity: Boxed<Rarity>?
  package internal(set) var health: Health
  /// Never, where it is the earliest of all instants: an optional would be twice as large.
  private var eligibleFrom = Instant(nanoseconds: .min)
  var reach = Reach()

  init(id: BackendID, address: SocketAddress, naming: Naming, source: SharedSource, now: Instant) {
    self.id = id
    self.address = address
    self.naming = naming
    self.source = source
    provesRole = source.provesRole
    health = Health(now: now)
  }

  private var rare: Rarity {
    get { rarity?.value ?? Rarity() }
    set { rarity = newValue == Rarity() ? nil : .value(newValue) }
  }

  /// By rank.
  var namings: [Naming] {
    get { isNamed ? [naming] + (rarity?.value.otherNamings ?? []) : [] }
    set {
      isNamed = !newValue.isEmpty
      if let first = newValue.first { naming = first }
      if newValue.count > 1 || rarity != nil { rare.otherNamings = Array(newValue.dropFirst()) }
    }
  }

  /// Nil while something names it.
  var departure: Departure? {
    get { rarity?.value.departure }
    set { if newValue != nil || rarity != nil { rare.departure = newValue } }
  }

  var lastEarlyProbe: Instant? {
    get { rarity?.value.lastEarlyProbe }
    set { rare.lastEarlyProbe = newValue }
  }

  /// Since when its share grows; nil when it has all of it.
  var startedSlowly: Instant? {
    get { rarity?.value.startedSlowly }
    set { if newValue != nil || rarity != nil { rare.startedSlowly = newValue } }
  }

  /// What its last proof of role says of its place in the stream of changes.
  package internal(set) var replication: Replication? {
    get { rarity?.value.replication }
    set { if newValue != nil || rarity != nil { rare.replication = newValue } }
  }

  /// Since when it could take the primary's place without interruption; nil while it could not.
  package internal(set) var eligibleSince: Instant? {
    get { eligibleFrom.nanoseconds == .min ? nil : eligibleFrom }
    set { eligibleFrom = newValue ?? Instant(nanoseconds: .min) }
  }

  /// Takes over what its first source says. Whether it is in maintenance is for all of them to say.
  mutating func adopt(_ source: SharedSource, _ naming: Naming) {
    self.naming = naming
    self.source = source
    provesRole = source.provesRole
  }

  /// Position of its source in the configuration: the order of preference.
  package internal(set) var rank: Int {
    get { naming.rank }
    set { naming.rank = newValue }
  }
  package var tier: UInt16 { naming.tier }
  package var weight: Int { source.value.weight ?? naming.weight.map(Int.init) ?? 1 }
  package var proto: BackendProtocol { source.value.proto }
  package var zone: String? { source.value.zone }
  package var check: HealthCheck { source.value.check }
  /// How far behind it may be and still serve reads; nil: however far.
  var maximumLag: ReplicaLag? { source.value.check.maximumLag }

  package var administrative: Administrative {
    if isInMaintenance || orders.contains(.maintenanceWindow) { return .maintenance }
    if !orders.isEmpty { return .draining }
    if case .drained = departure { return .draining }
    return .inService
  }

  var route: MemberRoute {
    MemberRoute(
      backend: id, address: address, weight: Int(announced.weight), share: announced.share, standing: announced.standing)
  }

  /// What it last proved to be, or `unknown` once the proof is too old.
  package func role(at now: Instant) -> Role {
    guard let rare = rarity?.value, let provedAt = rare.roleProvedAt, now - provedAt <= check.roleLifetime else { return .unknown }
    return rare.reportedRole
  }

  package func roleAge(at now: Instant) -> Duration? { rarity?.value.roleProvedAt.map { now - $0 } }

  /// When the present proof of role stops being believed.
  var roleExpiry: Instant? {
    guard provesRole, let rare = rarity?.value, rare.reportedRole != .unknown, let provedAt = rare.roleProvedAt else { return nil }
    return provedAt + check.roleLifetime
  }

  mutating func proveRole(_ role: Role, replication: Replication?, now: Instant) {
    var rare = rare
    rare.reportedRole = role
    rare.roleProvedAt = now
    rare.replication = replication
    self.rare = rare
  }

  /// Nothing more is to be learned before it can be judged: it is out of service, it failed, or it passed and (where asked) said
  /// its role.
  func isSettled(at now: Instant) -> Bool {
    if administrative != .inService { return true }
    switch health.state {
    case .unknown: return false
    case .down: return true
    case .up: return !provesRole || role(at: now) != .unknown
    }
  }

  // MARK: Eligibility

  package enum Ineligibility: Hashable, Sendable, CustomStringConvertible {
    case drained
    case drainedByOperator
    /// Its maintenance begins soon.
    case drainedByWindow
    case maintenance
    case notProbed
    case down(ProbeFailure)
    case replica
    case roleUnknown
    /// The health score is below `eject_below`, and another member's is not.
    case degraded(score: Int)

    package var description: String {
      switch self {
      case .drained: "drained by DNS"
      case .drainedByOperator: "drained by an operator"
      case .drainedByWindow: "drained: its maintenance begins soon"
      case .maintenance: "in maintenance"
      case .notProbed: "not probed yet"
      case .down(let failure): "down: \(failure)"
      case .replica: "healthy, not eligible: replica"
      case .roleUnknown: "healthy, not eligible: role not proved"
      case .degraded(let score): "up, not eligible: its health score is \(score)"
      }
    }
  }

  /// Why this member could not be the primary of an active-passive group now; nil when it could.
  package func obstacle(at now: Instant) -> Ineligibility? { plainObstacle ?? roleObstacle(at: now) ?? scoreObstacle }

  /// Why another one is preferred that works better. Unlike the others this never stops a member that leads from serving.
  var scoreObstacle: Ineligibility? { isEjected ? .degraded(score: health.score ?? 0) : nil }

  /// Why it could not serve in a normal group, where any healthy member does, whatever its role.
  var plainObstacle: Ineligibility? {
    switch administrative {
    case .draining where orders.contains(.drainedByOperator): return .drainedByOperator
    case .draining where orders.contains(.drainedByWindow): return .drainedByWindow
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
    guard provesRole else { return nil }
    switch role(at: now) {
    case .primary: return nil
    case .replica: return .replica
    case .unknown: return .roleUnknown
    }
  }

  /// One line of evidence for the audit history.
  func evidence(at now: Instant) -> String {
    let role = provesRole ? ", role \(role(at: now).rawValue)" : ""
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
    let orders = self.orders.contains(.drainedByOperator) ? ", drained by an operator" : ""
    let window = self.orders.contains(.drainedByWindow) ? ", maintenance begins soon" : ""
    let maintenance = administrative == .maintenance ? ", in maintenance" : ""
    let score = degradation > 0 || isFailing ? ", score \(health.score ?? 0)" : ""
    let tier = tier > 0 ? ", tier \(tier)" : ""
    return "\(id): \(state)\(score)\(role)\(tier)\(discovered)\(orders)\(window)\(maintenance)"
  }
}

/// What a source says, once for all the members it brings, and what follows from it.
final class SharedSource: Sendable {
  /// The group's own list, not a copy: a check is larger than everything else that is known of a member.
  private let all: [MemberSource]
  private let rank: Int
  let provesRole: Bool

  var value: MemberSource { _read { yield all[rank] } }

  init(_ rank: Int, of all: [MemberSource]) {
    self.all = all
    self.rank = rank
    provesRole = all[rank].check.provesRole
  }

  static func all(of members: [MemberSource]) -> [SharedSource] { members.indices.map { SharedSource($0, of: members) } }
}
