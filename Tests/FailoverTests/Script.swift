import Failover
import Model

/// Plays facts to an engine with one group and says in short words what the engine did about each.
///
/// Time stands still unless the script says `wait`, which stops at every deadline the engine names, as the control loop does.
struct Script {
  /// An effect, reduced to what a transcript wants to read.
  enum Told: Hashable, Sendable {
    /// A change of routes went out; these members take new connections of the group's default listener.
    case routes([BackendID])
    /// The group is no more: its route went, and its probes.
    case gone
    /// A new list of members to probe.
    case plan([BackendID])
    case probeNow(BackendID)
    case lookUp(DomainName)
    case record(Decision.Kind, BackendID?)
  }

  static let group: GroupName = "g"
  private(set) var engine: Engine
  private(set) var now = Instant.zero
  private var wallAtZero = WallTime(milliseconds: 0)
  private(set) var decisions: [Decision] = []
  /// The last that was to be kept; nil before there were any.
  private(set) var rememberedWindows: [WindowMemory]?
  /// What is to be kept over a restart, as it was last told.
  private(set) var memory: GroupMemory?

  init(_ specification: GroupSpecification, holdRemoved: Duration = .seconds(10), zone: String? = nil) throws {
    engine = Engine(holdRemoved: holdRemoved, zone: zone)
    _ = note(try engine.createGroup(specification, now: now))
  }

  /// A group that configuration and DNS describe, and may change.
  init(described specification: GroupSpecification, holdRemoved: Duration = .seconds(10)) {
    engine = Engine(holdRemoved: holdRemoved)
    describe(specification)
  }

  /// The next run: the clock on the wall says `wall` when it begins.
  init(
    _ specification: GroupSpecification, remembering memory: GroupMemory?, windows: [WindowMemory] = [],
    file: [MaintenanceWindow] = [], wall: WallTime
  ) {
    engine = Engine(holdRemoved: .seconds(10))
    self.memory = memory
    rememberedWindows = windows
    tell(wall)
    _ = feed(.remembered(groups: memory.map { [$0] } ?? [], windows: windows))
    _ = feed(.windowsConfigured(file))
    describe(specification)
  }

  // MARK: What happens

  mutating func tell(_ wall: WallTime) { _ = feed(.wallClockRead(wall)) }

  @discardableResult mutating func pass(_ id: BackendID, timeline: UInt32) -> [Told] {
    probe(id, .passed(latency: .milliseconds(1), role: .primary, replication: Replication(timeline: timeline)))
  }

  @discardableResult mutating func lift() throws(CommandError) -> [Told] {
    note(try engine.liftOverride(of: Self.group, now: now))
  }

  @discardableResult mutating func pass(
    _ id: BackendID, role: Role? = nil, latency: Duration = .milliseconds(1), replication: Replication? = nil
  ) -> [Told] {
    probe(id, .passed(latency: latency, role: role, replication: replication))
  }

  @discardableResult mutating func fail(_ id: BackendID, _ kind: ProbeFailure.Kind = .refused) -> [Told] {
    probe(id, .failed(ProbeFailure(kind, "scripted")))
  }

  /// Two failures: what it takes for the verdict in these scripts.
  @discardableResult mutating func kill(_ id: BackendID, _ kind: ProbeFailure.Kind = .refused) -> [Told] {
    fail(id, kind) + fail(id, kind)
  }

  /// Two passes: what it takes to be up again.
  @discardableResult mutating func revive(_ id: BackendID, role: Role? = nil) -> [Told] {
    pass(id, role: role) + pass(id, role: role)
  }

  @discardableResult mutating func signal(_ id: BackendID, _ kind: DataPathSignal.Kind) -> [Told] {
    feed(.dataPathFailed(DataPathSignal(member: key(id), kind: kind)))
  }

  @discardableResult mutating func resolve(_ domain: DomainName, to addresses: String..., age: Duration? = nil) -> [Told] {
    let endpoints = addresses.compactMap(IPAddress.init).map { DiscoveredEndpoint($0) }
    return feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .answer(endpoints), age: age)))
  }

  @discardableResult mutating func resolve(
    _ domain: DomainName, services: [DiscoveredEndpoint], isDrained: Bool = false
  ) -> [Told] {
    feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .answer(services.sorted()), isDrained: isDrained)))
  }

  /// What configuration and DNS describe now, all of it.
  @discardableResult mutating func describe(_ groups: GroupSpecification..., leaving: Leaving = .afterHold) -> [Told] {
    feed(.groupsConfigured(groups, leaving: leaving))
  }

  @discardableResult mutating func empty(_ domain: DomainName) -> [Told] {
    feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .empty)))
  }

  @discardableResult mutating func lookUpFails(_ domain: DomainName, _ failure: DNSFailure = .timedOut) -> [Told] {
    feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .failed(failure))))
  }

  @discardableResult mutating func wait(_ duration: Duration) -> [Told] {
    let end = now + duration
    var told: [Told] = []
    while let deadline = engine.nextDeadline, deadline <= end {
      now = max(now, deadline)
      told += feed(.deadlineReached)
    }
    now = end
    return told
  }

  @discardableResult mutating func choose(
    _ id: BackendID, force: Bool = false, pin: Bool = false
  ) throws(CommandError) -> [Told] {
    note(try engine.setPrimary(of: Self.group, to: id, force: force, pin: pin, now: now))
  }

  /// What people ask of the engine, whatever it is.
  @discardableResult mutating func ask(_ request: (inout Engine, Instant) throws -> [Effect]) throws -> [Told] {
    note(try request(&engine, now))
  }

  // MARK: What can be seen

  /// What the clock on the wall says now.
  var wall: WallTime { wallAtZero + (now - .zero) }

  var state: Group { engine[Self.group]! }
  var exists: Bool { engine[Self.group] != nil }
  var snapshot: GroupSnapshot { state.snapshot(at: now) }
  var primary: BackendID? { state.leader }
  var members: [BackendID] { state.members.map(\.id) }
  var kinds: [Decision.Kind] { decisions.map(\.kind) }
  /// The records of a change of primary.
  var changes: [Decision] { decisions.filter { $0.kind.changesPrimary || $0.kind == .elected } }
  var violations: [String] { engine.violations(at: now) }

  var explanation: Explanation? { engine.explanation(of: Self.group, at: now) }

  func input(_ name: String) -> String? { explanation?.inputs.first { $0.name == name }?.value }

  func serving(_ role: ListenerRole) -> [BackendID] { engine.table[Self.group]?.serving(role) ?? [] }

  /// Why it serves or does not, as people read it.
  func reason(_ id: BackendID) -> String? { snapshot.members.first { $0.id == id }?.reason }

  func standing(_ id: BackendID, _ role: ListenerRole = .primary) -> Standing? {
    engine.table[Self.group]?.members.first { $0.backend == id }?.standing[role]
  }

  func share(_ id: BackendID) -> UInt8? { engine.table[Self.group]?.members.first { $0.backend == id }?.share }
  func score(_ id: BackendID) -> Int? { snapshot.members.first { $0.id == id }?.score }

  // MARK: Plumbing

  func key(_ id: BackendID) -> MemberKey { MemberKey(group: Self.group, backend: id) }

  mutating func feed(_ event: Event) -> [Told] {
    if case .wallClockRead(let wall) = event { wallAtZero = wall - (now - .zero) }
    return note(engine.handle(event, now: now))
  }

  private mutating func probe(_ id: BackendID, _ outcome: ProbeOutcome) -> [Told] {
    feed(.probeFinished(ProbeReport(member: key(id), outcome: outcome)))
  }

  private mutating func note(_ effects: [Effect]) -> [Told] {
    effects.compactMap { effect -> Told? in
      switch effect {
      case .publish(let change):
        if change.removed.contains(Self.group) { return .gone }
        let mode = engine[Self.group]?.specification.mode
        return .routes(change.changed.first { $0.name == Self.group }?.serving(mode == .normal ? .any : .primary) ?? [])
      case .replaceProbes(_, let targets): return .plan(targets.map(\.member.backend))
      case .probeNow(let member): return .probeNow(member.backend)
      case .lookUpNow(let domain): return .lookUp(domain)
      // What is kept for the next run is told apart.
      case .remember(let told):
        memory = told
        return nil
      case .forget: return nil
      case .rememberWindows(let windows):
        rememberedWindows = windows
        return nil
      case .record(let decision):
        decisions.append(decision)
        return .record(decision.kind, decision.to)
      }
    }
  }
}

// MARK: Groups to play with

extension HealthCheck {
  /// 300 ms, 300 ms, 2, 2: the verdict on a silent death comes within 900 ms.
  static let tcp = HealthCheck(kind: .tcp)
  static let role = HealthCheck(kind: .postgres(PostgresCheck(depth: .role)))
}

extension GroupSpecification {
  /// `a` (the designated primary), `b`, … at 10.0.0.1, 10.0.0.2, …
  static func fixed(
    _ ids: BackendID..., mode: GroupMode = .activePassive, check: HealthCheck = .tcp, primary: BackendID? = "a",
    failback: Failback = .manual, minimumInterval: Duration = .seconds(10)
  ) -> GroupSpecification {
    let members = ids.enumerated().map { offset, id in
      MemberSource(
        origin: .fixed(id, .ip(.v4(0x0a00_0001 + UInt32(offset)), port: 5432)), proto: .tcp, isPrimary: id == primary, check: check)
    }
    return GroupSpecification(
      name: Script.group, mode: mode, members: members, failback: failback, minimumInterval: minimumInterval)
  }

  /// The names of the requirements document: `primary-db` is designated, `replica-db` is not.
  static func named(
    mode: GroupMode = .activePassive, check: HealthCheck = .tcp, failback: Failback = .manual,
    minimumInterval: Duration = .seconds(10)
  ) -> GroupSpecification {
    let sources = [(DomainName.primaryDB, true), (.replicaDB, false)].map { domain, isPrimary in
      MemberSource(origin: .domain(domain, port: 5432), proto: .postgres, isPrimary: isPrimary, check: check)
    }
    return GroupSpecification(
      name: Script.group, mode: mode, members: sources, failback: failback, minimumInterval: minimumInterval)
  }
}

extension DiscoveredEndpoint {
  /// What an SRV record leads to: `.service("10.0.0.1", tier: 10)`.
  static func service(_ address: String, tier: UInt16 = 0, weight: UInt16 = 1, port: UInt16 = 5432) -> DiscoveredEndpoint {
    DiscoveredEndpoint(IPAddress(address) ?? .v4(0), port: port, tier: tier, weight: weight)
  }
}

extension MemberSource {
  static func service(_ domain: DomainName, isPrimary: Bool = false, check: HealthCheck = .tcp) -> MemberSource {
    MemberSource(origin: .domain(domain, port: nil), record: .srv, proto: .postgres, isPrimary: isPrimary, check: check)
  }
}

extension DomainName {
  static let service: DomainName = "_db._tcp.example.com"
  static let primaryDB: DomainName = "primary-db.example.com"
  static let replicaDB: DomainName = "replica-db.example.com"

  /// The id of the member that this name leads to.
  func at(_ address: String) -> BackendID { BackendID("\(rawValue):\(address):5432") }
}
