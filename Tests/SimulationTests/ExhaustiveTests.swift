import Failover
import Model
import Testing

/// Every sequence of a few events, from states in which something is at stake, each step audited.
///
/// The engine is a value, so sequences that begin alike share the work: the tree is walked, not each path from its root.
@Suite("All short sequences of events")
struct ExhaustiveTests {
  /// What can happen next, small enough to be combined exhaustively.
  enum Letter: Hashable, Sendable {
    case pass(BackendID, Role?)
    case fail(BackendID, ProbeFailure.Kind)
    case signal(BackendID)
    case answer(DomainName, [String])
    /// Addresses with their tiers, and whether a record with the target `.` is among them.
    case services(DomainName, [String: UInt16], isDrained: Bool)
    case describe([GroupSpecification], Leaving)
    case empty(DomainName)
    case lookUpFails(DomainName)
    case choose(BackendID, force: Bool, pin: Bool)
    case lift
    case drain(BackendID)
    case undrain(BackendID)
    /// Maintenance that begins with its drain in half a second, lasts two seconds, and begins in earnest after one.
    case plan(BackendID)
    case cancelPlan
    /// kill -9, with nothing lost.
    case restart
    /// Time passes; deadlines on the way are honoured.
    case wait(Duration)
  }

  struct Walker {
    let start: GroupSpecification
    let isDescribed: Bool
    var engine: Engine
    var auditor: Auditor
    var now = Instant.zero
    var path: [Letter] = []
    var effects: [Effect] = []
    var keeper = Keeper()

    init(_ specification: GroupSpecification, isDescribed: Bool = false, holdRemoved: Duration = .seconds(4)) throws {
      start = specification
      self.isDescribed = isDescribed
      engine = Engine(holdRemoved: holdRemoved)
      auditor = Auditor(holdRemoved: holdRemoved)
      try begin()
    }

    private var wall: WallTime { WallTime(milliseconds: 1_800_000_000_000) + (now - .zero) }

    private mutating func begin() throws {
      try feed(.wallClockRead(wall))
      if isDescribed { return try describe([start], .afterHold) }
      auditor.expect(start, now: now)
      let before = engine
      try audit(.created("g"), before, engine.createGroup(start, now: now))
    }

    private mutating func restart(holdRemoved: Duration = .seconds(4)) throws {
      keeper.crash(losingAfter: now)
      engine = Engine(holdRemoved: holdRemoved)
      auditor = Auditor(holdRemoved: holdRemoved, memories: keeper.memories, windows: keeper.windows)
      try feed(.wallClockRead(wall))
      try feed(.remembered(groups: keeper.memories, windows: keeper.windows))
      try begin()
    }

    private mutating func describe(_ groups: [GroupSpecification], _ leaving: Leaving) throws {
      auditor.expectDescribed(groups, leaving: leaving, now: now)
      try feed(.groupsConfigured(groups, leaving: leaving))
    }

    mutating func take(_ letter: Letter) throws {
      path.append(letter)
      switch letter {
      case .pass(let id, let role): try feed(.probeFinished(report(id, .passed(latency: .zero, role: role))))
      case .fail(let id, let kind): try feed(.probeFinished(report(id, .failed(ProbeFailure(kind, "")))))
      case .signal(let id): try feed(.dataPathFailed(DataPathSignal(member: MemberKey(group: "g", backend: id), kind: .reset)))
      case .answer(let domain, let addresses):
        let endpoints = addresses.compactMap(IPAddress.init).map { DiscoveredEndpoint($0) }
        try feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .answer(endpoints))))
      case .services(let domain, let tiers, let isDrained):
        let endpoints = tiers.compactMap { text, tier in
          IPAddress(text).map { DiscoveredEndpoint($0, port: 1, tier: tier, weight: 1) }
        }
        try feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .answer(endpoints.sorted()), isDrained: isDrained)))
      case .describe(let groups, let leaving): try describe(groups, leaving)
      case .empty(let domain): try feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .empty)))
      case .lookUpFails(let domain):
        let members = engine["g"]?.members.map(\.id)
        try feed(.discoveryUpdated(DiscoveryUpdate(domain: domain, outcome: .failed(.timedOut))))
        if engine["g"]?.members.map(\.id) != members { try report(["a failed lookup changed the members"]) }
      case .choose(let id, let force, let pin):
        let before = engine
        guard let done = try? engine.setPrimary(of: "g", to: id, force: force, pin: pin, now: now) else { return }
        try audit(.setPrimary("g", id, force: force, pin: pin), before, done)
      case .lift: try ask(.lifted("g")) { try $0.liftOverride(of: "g", now: $1) }
      case .drain(let id): try ask(.drained(id)) { try $0.drain(id, now: $1) }
      case .undrain(let id): try ask(.undrained(id)) { try $0.undrain(id, now: $1) }
      case .plan(let id):
        let window = MaintenanceWindow(
          id: "w", backend: id, start: wall + .milliseconds(1500), duration: .seconds(2), preDrain: .seconds(1))
        try ask(.scheduled(window)) { try $0.schedule(window, now: $1) }
      case .cancelPlan: try ask(.cancelled("w")) { try $0.cancelWindow("w", now: $1) }
      case .restart: try restart()
      case .wait(let duration):
        let end = now + duration
        while let deadline = engine.nextDeadline, deadline <= end {
          now = deadline
          try feed(.deadlineReached)
        }
        now = end
      }
    }

    private func report(_ id: BackendID, _ outcome: ProbeOutcome) -> ProbeReport {
      ProbeReport(member: MemberKey(group: "g", backend: id), outcome: outcome)
    }

    /// A refusal changes nothing, and is no step.
    private mutating func ask(_ input: Input, _ apply: (inout Engine, Instant) throws -> [Effect]) throws {
      let before = engine
      guard let done = try? apply(&engine, now) else { return }
      try audit(input, before, done)
    }

    private mutating func feed(_ event: Event) throws {
      let before = engine
      let done = engine.handle(event, now: now)
      try report(ShortcutAuditor.violations(event, before: before, effects: done, after: engine, now: now))
      try audit(.event(event), before, done)
    }

    private mutating func audit(_ input: Input, _ before: Engine, _ done: [Effect]) throws {
      effects = done
      for effect in done { keeper.keep(effect, now: now) }
      try report(auditor.check(input, before: before, effects: done, after: engine, now: now))
    }

    private func report(_ wrong: [String]) throws {
      if !wrong.isEmpty { throw Violation(path: path, wrong: wrong) }
    }
  }

  struct Violation: Error, CustomStringConvertible {
    let path: [Letter]
    let wrong: [String]
    var description: String { "\(wrong)\nafter \(path.map { "\($0)" }.joined(separator: "\n      "))" }
  }

  /// What the walk met, to prove that it was not vacuous.
  struct Census {
    var steps = 0
    var kinds: Set<Decision.Kind> = []
    var reasons: Set<String> = []
  }

  static func walk(from walker: Walker, over alphabet: [Letter], depth: Int, into census: inout Census) throws {
    if depth == 0 { return }
    for letter in alphabet {
      var next = walker
      try next.take(letter)
      census.steps += 1
      for case .record(let decision) in next.effects {
        census.kinds.insert(decision.kind)
        if decision.kind.changesPrimary { census.reasons.insert(decision.reason.label) }
      }
      // Replaying and looking ahead costs more than the step: some paths are enough.
      if depth == 1 && census.steps % 31 == 0 {
        let wrong = Auditor.quietnessViolations(of: next.engine, now: next.now)
        if !wrong.isEmpty { throw Violation(path: next.path, wrong: wrong) }
      }
      if depth == 1 && census.steps % 1009 == 0 { try replay(next, from: walker) }
      try walk(from: next, over: alphabet, depth: depth - 1, into: &census)
    }
  }

  /// The same events from the very beginning give the same table and the same last effects.
  static func replay(_ walker: Walker, from parent: Walker) throws {
    var again = try Walker(walker.start, isDescribed: walker.isDescribed)
    for letter in walker.path { try again.take(letter) }
    if again.engine.table != walker.engine.table || again.effects != walker.effects {
      throw Violation(path: walker.path, wrong: ["a replay ends differently"])
    }
  }

  static func specification(
    _ sources: [MemberSource], mode: GroupMode = .activePassive, failback: GroupSpecification.Failback = .manual
  ) -> GroupSpecification {
    GroupSpecification(
      name: "g", mode: mode, members: sources, failback: failback, minimumInterval: .seconds(3), holdTimeout: .seconds(2))
  }

  static func fixed(_ count: Int, role: Bool = false, unhealthy: Int = 2) -> [MemberSource] {
    let check = HealthCheck(
      kind: role ? .postgres(PostgresCheck(depth: .role)) : .tcp, healthyThreshold: 1, unhealthyThreshold: unhealthy)
    return (0..<count).map { number in
      MemberSource(
        origin: .fixed(["a", "b", "c"][number], .ip(.v4(UInt32(number + 1)), port: 1)), proto: .tcp, isPrimary: number == 0,
        check: check)
    }
  }

  /// One letter less in debug builds, which are twenty times slower.
  static func depth(_ full: Int) -> Int {
    #if DEBUG
      full - 1
    #else
      full
    #endif
  }

  // MARK: The walks

  @Test("two members without roles", arguments: [GroupSpecification.Failback.manual, .automatic(after: .seconds(2))])
  func twoMembers(failback: GroupSpecification.Failback) throws {
    var census = Census()
    let alphabet: [Letter] = [
      .pass("a", nil), .fail("a", .refused), .fail("a", .timedOut), .signal("a"), .pass("b", nil), .fail("b", .refused),
      .choose("a", force: false, pin: false), .choose("b", force: false, pin: true), .choose("b", force: true, pin: false),
      .wait(.seconds(1)), .wait(.seconds(3)),
    ]
    var fresh = try Walker(Self.specification(Self.fixed(2), failback: failback))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    for letter: Letter in [.pass("a", nil), .pass("b", nil)] { try fresh.take(letter) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(5), into: &census)
    for letter: Letter in [.fail("a", .refused), .fail("a", .refused), .pass("a", nil)] { try fresh.take(letter) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    #expect(census.kinds.isSuperset(of: [.elected, .failover, .manual, .holdBegan, .holdEnded, .healthChanged]))
    #expect(census.kinds.contains(.failback) == (failback != .manual))
  }

  @Test("three members without roles")
  func threeMembers() throws {
    var census = Census()
    let ids: [BackendID] = ["a", "b", "c"]
    let alphabet =
      ids.flatMap { [Letter.pass($0, nil), .fail($0, .refused)] } + [
        .choose("c", force: false, pin: false), .wait(.seconds(1)), .wait(.seconds(3)),
      ]
    var fresh = try Walker(Self.specification(Self.fixed(3, unhealthy: 1)))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    for id in ids { try fresh.take(.pass(id, nil)) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(5), into: &census)
    #expect(census.kinds.isSuperset(of: [.elected, .failover, .manual, .holdBegan, .holdEnded]))
  }

  @Test("members that testify to their role", arguments: [2, 3])
  func roles(count: Int) throws {
    var census = Census()
    let ids: [BackendID] = Array(["a", "b", "c"].prefix(count))
    let alphabet =
      ids.flatMap { [Letter.pass($0, .primary), .pass($0, .replica), .fail($0, .timedOut)] } + [
        .choose("b", force: false, pin: false), .choose("b", force: true, pin: true), .wait(.milliseconds(500)), .wait(.seconds(3)),
      ]
    var fresh = try Walker(Self.specification(Self.fixed(count, role: true, unhealthy: 2)))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    try fresh.take(.pass("a", .primary))
    for id in ids.dropFirst() { try fresh.take(.pass(id, .replica)) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(count == 2 ? 5 : 4), into: &census)
    #expect(census.kinds.isSuperset(of: [.elected, .failover, .manual, .holdBegan, .holdEnded, .twoWritable, .roleChanged]))
    #expect(census.reasons.isSuperset(of: ["primary_demoted", "role_unproved", "manual"]))
  }

  @Test("what DNS can say", arguments: [false, true])
  func discovery(role: Bool) throws {
    var census = Census()
    let (p, r): (DomainName, DomainName) = ("p", "r")
    let check = HealthCheck(
      kind: role ? .postgres(PostgresCheck(depth: .role)) : .tcp, interval: .seconds(2), timeout: .seconds(2), healthyThreshold: 1,
      unhealthyThreshold: 1)
    let sources = [(p, true), (r, false)].map { domain, isPrimary in
      MemberSource(origin: .domain(domain, port: 1), proto: .tcp, isPrimary: isPrimary, check: check)
    }
    let (a, b): (BackendID, BackendID) = ("p:10.0.0.1:1", "r:10.0.0.2:1")
    let alphabet: [Letter] = [
      .answer(p, ["10.0.0.1"]), .answer(p, ["10.0.0.2"]), .answer(r, ["10.0.0.1"]), .answer(r, ["10.0.0.1", "10.0.0.2"]), .empty(p),
      .empty(r), .lookUpFails(p), .pass(a, role ? .primary : nil), .fail(a, .timedOut), .pass(b, role ? .primary : nil),
      .choose(b, force: false, pin: true), .wait(.seconds(2)), .wait(.seconds(4)),
    ]
    var fresh = try Walker(Self.specification(sources, failback: .automatic(after: .seconds(1))))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    try fresh.take(.answer(p, ["10.0.0.1"]))
    try fresh.take(.answer(r, ["10.0.0.2"]))
    try fresh.take(.pass(a, role ? .primary : nil))
    try fresh.take(.pass(b, role ? .replica : nil))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(5), into: &census)
    #expect(census.kinds.isSuperset(of: [.memberAdded, .memberRemoved, .failover, .elected, .holdBegan]))
    #expect(census.reasons.contains("designation_moved") == !role)
    #expect(census.reasons.contains("primary_removed"))
  }

  @Test("people, maintenance and restarts", arguments: [GroupMode.activePassive, .normal], [2, 3])
  func operations(mode: GroupMode, count: Int) throws {
    var census = Census()
    let ids: [BackendID] = Array(["a", "b", "c"].prefix(count))
    let alphabet: [Letter] = [
      .pass("a", nil), .fail("a", .refused), .pass("b", nil), .fail("b", .refused), .choose("b", force: false, pin: true), .lift,
      .drain("a"), .undrain("a"), .drain("b"), .plan("a"), .plan("b"), .cancelPlan, .restart, .wait(.seconds(1)),
      .wait(.seconds(3)),
    ]
    var fresh = try Walker(
      Self.specification(Self.fixed(count, unhealthy: 1), mode: mode, failback: .automatic(after: .seconds(1))))
    for id in ids { try fresh.take(.pass(id, nil)) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    for letter: Letter in [.fail("a", .refused), .wait(.seconds(3)), .pass("a", nil)] { try fresh.take(letter) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(4), into: &census)
    #expect(
      census.kinds.isSuperset(of: [
        .elected, .failover, .manual, .drained, .undrained, .maintenanceBegan, .maintenanceEnded, .overrideLifted,
      ]))
    if count == 2 { #expect(census.kinds.contains(.maintenanceCancelled)) }
  }

  @Test("normal mode", arguments: [false, true])
  func normal(role: Bool) throws {
    var census = Census()
    let alphabet: [Letter] =
      ["a", "b"].flatMap { (id: BackendID) -> [Letter] in
        [.pass(id, role ? .primary : nil), .pass(id, role ? .replica : nil), .fail(id, .refused), .fail(id, .timedOut)]
      } + [.choose("b", force: true, pin: false), .wait(.milliseconds(700)), .wait(.seconds(3))]
    let fresh = try Walker(Self.specification(Self.fixed(2, role: role, unhealthy: 1), mode: .normal))
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(5), into: &census)
    #expect(census.kinds.isSuperset(of: [.elected, .failover, .manual, .holdBegan, .holdEnded]))
  }

  @Test("tiers, drained services and other descriptions", arguments: [GroupMode.activePassive, .normal])
  func topology(mode: GroupMode) throws {
    var census = Census()
    let (s, r): (DomainName, DomainName) = ("_s", "r")
    let check = HealthCheck(kind: .tcp, healthyThreshold: 1, unhealthyThreshold: 1)
    let service = MemberSource(origin: .domain(s, port: nil), record: .srv, proto: .tcp, check: check)
    let backup = MemberSource(origin: .domain(r, port: 1), proto: .tcp, check: check)
    let both = Self.specification([service, backup], mode: mode)
    var resting = both
    resting.members[0].maintenance = true
    var other = Self.specification([backup], mode: mode == .normal ? .activePassive : .normal)
    other.allowedRanges = [AddressRange("10.0.0.2/32")].compactMap { $0 }
    let (a, b): (BackendID, BackendID) = ("_s:10.0.0.1:1", "_s:10.0.0.2:1")
    let alphabet: [Letter] = [
      .services(s, ["10.0.0.1": 0, "10.0.0.2": 10], isDrained: false),
      .services(s, ["10.0.0.1": 20, "10.0.0.2": 10], isDrained: false),
      .services(s, ["10.0.0.2": 10], isDrained: true), .services(s, [:], isDrained: true), .answer(r, ["10.0.0.1"]),
      .answer(r, ["10.0.0.2", "10.0.0.3"]), .lookUpFails(s), .pass(a, nil), .fail(a, .timedOut),
      .describe([], .afterHold), .describe([both], .afterHold), .describe([resting], .afterHold), .describe([other], .atOnce),
      .wait(.seconds(2)),
      .wait(.seconds(40)),
    ]
    var fresh = try Walker(both, isDescribed: true)
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(3), into: &census)
    try fresh.take(.services(s, ["10.0.0.1": 0, "10.0.0.2": 10], isDrained: false))
    for id in [a, b] { try fresh.take(.pass(id, nil)) }
    try Self.walk(from: fresh, over: alphabet, depth: Self.depth(5), into: &census)
    #expect(
      census.kinds.isSuperset(of: [.memberAdded, .memberRemoved, .holdBegan, .groupChanged, .groupDeleted, .addressRefused]))
    if mode == .activePassive { #expect(census.reasons.isSuperset(of: ["primary_drained", "designation_moved"])) }
  }
}
