import Failover
import Model
import Testing

@Suite("What outlives a restart")
struct MemoryTests {
  static let noon = WallTime(milliseconds: 1_796_040_000_000)

  func ready(_ specification: GroupSpecification = .fixed("a", "b", "c")) -> Script {
    var script = Script(specification, remembering: nil, wall: Self.noon)
    for id in script.members { script.pass(id) }
    return script
  }

  @Test("what changes is told, in wall-clock time")
  func told() throws {
    var script = ready()
    #expect(script.memory == GroupMemory(group: "g", primary: "a"))
    script.wait(.seconds(5))
    script.kill("a")
    let at = Self.noon.milliseconds + 5000
    #expect(
      script.memory == GroupMemory(group: "g", primary: "b", automaticChanges: [at], lastFailover: at, failoverCount: 1))
    try script.choose("c", pin: true)
    #expect(script.memory?.override == GroupMemory.Override(backend: "c", force: false, pin: true))
    #expect(script.memory?.primary == "c")
    try script.lift()
    #expect(script.memory?.override == nil)
  }

  @Test("it goes out after the routes and before the records")
  func order() throws {
    var script = ready()
    script.fail("a")
    var engine = script.engine
    let report = ProbeReport(member: script.key("a"), outcome: .failed(ProbeFailure(.refused, "")))
    let effects = engine.handle(.probeFinished(report), now: script.now)
    let order = effects.map { effect in
      switch effect {
      case .publish: 0
      case .remember: 1
      case .record: 2
      default: 3
      }
    }
    #expect(order == [0, 1, 2, 2])
  }

  @Test("a fact that changes nothing of it tells nothing")
  func quiet() {
    var script = ready()
    let before = script.memory
    for _ in 1...10 {
      script.wait(.seconds(1))
      for id in script.members { script.pass(id) }
    }
    #expect(script.memory == before)
  }

  @Test("a group that is gone is forgotten")
  func forgotten() throws {
    var script = ready()
    var engine = script.engine
    #expect(engine.handle(.groupsConfigured([], leaving: .atOnce), now: script.now).contains(.forget("g")))
    script.kill("a")
    engine = try Script(.fixed("a")).engine
    #expect(try engine.deleteGroup("g", now: .zero).contains(.forget("g")))
  }

  func restarted(
    after script: Script, _ specification: GroupSpecification = .fixed("a", "b", "c"), pause: Duration = .seconds(60)
  ) -> Script {
    Script(specification, remembering: script.memory, wall: script.wall + pause)
  }

  @Test("a restart is no failover: the primary of the last run is the first choice, also when it answers last")
  func primary() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script)
    next.pass("a")
    next.pass("c")
    #expect(next.primary == nil)
    #expect(next.explanation?.rule == "awaiting_first_verdicts")
    #expect(next.pass("b").contains(.record(.elected, "b")))
    #expect(next.changes.map(\.reason) == [.ledBefore])
    #expect(next.snapshot.failoverCount == 1)
    #expect(next.snapshot.lastFailover.map { Instant.zero - $0 } == .seconds(60))
    #expect(next.violations == [])
  }

  @Test("nor is it a failback: that takes its time as ever")
  func failback() {
    let specification = GroupSpecification.fixed("a", "b", "c", failback: .automatic(after: .seconds(60)))
    var script = ready(specification)
    script.kill("a")
    var next = restarted(after: script, specification)
    for id in next.members { next.pass(id) }
    #expect(next.primary == "b")
    next.wait(.milliseconds(59_999))
    #expect(next.primary == "b")
    next.wait(.milliseconds(1))
    #expect(next.primary == "a")
  }

  @Test("it is dead: a failover from it to the designated one, as soon as that is known")
  func primaryIsDead() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script)
    next.pass("a")
    next.fail("b")
    #expect(next.explanation?.decision == "Nobody is primary yet: b, which led before the restart, has not been judged.")
    #expect(next.fail("b") == [.routes(["a"]), .record(.healthChanged, "b"), .record(.failover, "a")])
    let failover = next.changes.last
    #expect(failover?.from == "b" && failover?.reason == .primaryDown(ProbeFailure(.refused, "scripted")))
    #expect(failover?.evidence == ["a: up", "b: down (refused: scripted)", "c: not probed yet"])
    // Nobody knows when it died.
    #expect(next.changes.count == 1 && failover?.detection == nil)
    #expect(next.snapshot.failoverCount == 2)
    #expect(next.snapshot.recentFailovers == 2)
    #expect(next.memory?.automaticChanges.count == 2)
    #expect(next.violations == [])
  }

  @Test("it is dead, and the interval of the last run is not over: it is the primary until then, and may come back")
  func primaryIsDeadTooSoon() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script, pause: .seconds(4))
    next.pass("a")
    next.pass("c")
    #expect(next.kill("b") == [.probeNow("b"), .routes([]), .record(.healthChanged, "b"), .record(.holdBegan, "b")])
    #expect(next.primary == "b")
    #expect(next.explanation?.rule == "waiting_for_minimum_interval")
    #expect(next.input("minimum_interval") == "10s, 6s left")
    next.wait(.milliseconds(5999))
    #expect(next.primary == "b")
    var other = next
    #expect(next.wait(.milliseconds(1)) == [.routes(["a"]), .record(.failover, "a"), .record(.holdEnded, "a")])
    #expect(next.changes.map(\.from) == ["b"])
    #expect(next.snapshot.effectiveInterval == .seconds(20))
    other.revive("b")
    #expect(other.serving(.primary) == ["b"])
    #expect(other.changes == [] && other.snapshot.failoverCount == 1)
  }

  @Test("a restart is no way around maximum_failovers")
  func tooManyFailovers() {
    var specification = GroupSpecification.fixed("a", "b")
    specification.maximumFailovers = FailoverLimit(count: 1, within: .seconds(600))
    var script = ready(specification)
    script.kill("a")
    var next = restarted(after: script, specification)
    next.pass("a")
    #expect(next.kill("b").contains(.record(.failoversSuspended, "a")))
    #expect(next.decisions.last { $0.kind == .failoversSuspended }?.from == "b")
    #expect(next.explanation?.rule == "maximum_failovers_reached")
    // Nor is another one.
    next = restarted(after: script, specification, pause: .seconds(120))
    next.kill("b")
    next.pass("a")
    #expect(next.primary == "b" && next.serving(.primary) == [])
    next.wait(.seconds(479))
    #expect(next.primary == "b")
    next.wait(.seconds(1))
    #expect(next.changes.map(\.kind) == [.failover] && next.changes.first?.from == "b")
    #expect(next.violations == [])
  }

  @Test("a primary that dies with each run: the interval doubles as if it were one run")
  func flapping() {
    let specification = GroupSpecification.fixed("a", "b")
    var script = ready(specification)
    var gaps: [Duration] = []
    for _ in 0..<5 {
      guard let primary = script.primary else { break }
      script = restarted(after: script, specification, pause: .zero)
      script.pass(primary == "a" ? "b" : "a")
      let before = script.now
      script.kill(primary)
      for _ in 0..<1000 where script.primary == primary { script.wait(.seconds(1)) }
      gaps.append(script.now - before)
      #expect(script.changes.map(\.from) == [primary])
    }
    #expect(gaps == [0, 10, 20, 40, 80].map { .seconds($0) })
  }

  @Test("a change that shadow mode only spoke of keeps its distance over a restart as well, and the traffic stays")
  func shadow() {
    var specification = GroupSpecification.fixed("a", "b")
    specification.shadow = true
    var script = ready(specification)
    script.kill("a")
    var next = restarted(after: script, specification, pause: .seconds(4))
    next.pass("b")
    next.kill("a")
    #expect(next.primary == "a" && next.snapshot.shadowPrimary == nil)
    next.wait(.seconds(6))
    #expect(next.primary == "a" && next.snapshot.shadowPrimary == "b")
    #expect(next.decisions.last?.kind == .shadowed && next.decisions.last?.from == "a")
    next.revive("a")
    #expect(next.serving(.primary) == ["a"])
    #expect(next.violations == [])
  }

  @Test("a person chooses before it is known: the choice is from the primary of the last run, or none where it is the same")
  func chosenBeforeTheVerdict() throws {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script)
    next.pass("a")
    try next.choose("a")
    #expect(next.changes.map(\.kind) == [.manual] && next.changes.first?.from == "b")
    next = restarted(after: script)
    try next.choose("b", force: true)
    #expect(next.primary == "b" && next.changes == [])
    #expect(next.snapshot.failoverCount == 1)
    #expect(next.violations == [])
  }

  @Test("the group becomes a normal one before its first election: nobody is waited for")
  func normalMeanwhile() {
    var script = ready(.fixed("a", "b"))
    script.kill("a")
    var next = restarted(after: script, .fixed("a", "b"))
    next.describe(.fixed("a", "b", mode: .normal, primary: nil))
    next.pass("a")
    next.kill("b")
    #expect(next.primary == nil && next.serving(.any) == ["a"])
    #expect(next.violations == [])
  }

  @Test("nobody waits for it longer than for the designated one")
  func primaryIsSilent() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script)
    next.pass("a")
    next.wait(.milliseconds(9999))
    #expect(next.primary == nil)
    next.wait(.milliseconds(1))
    #expect(next.primary == "a")
    #expect(next.changes.map(\.kind) == [.failover] && next.changes.first?.from == "b")
    #expect(next.changes.first?.reason == .roleUnproved)
  }

  @Test("it is no member any more: nobody waits for it, and that is the reason")
  func primaryIsGone() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script, .fixed("a"))
    next.pass("a")
    #expect(next.primary == "a")
    #expect(next.changes.map(\.reason) == [.primaryRemoved] && next.changes.first?.from == "b")
  }

  @Test("another server was promoted meanwhile: it leads again, and is followed by a failover in the same moment")
  func leftBehind() {
    let specification = GroupSpecification.fixed("a", "b", check: .role)
    var script = Script(specification, remembering: nil, wall: Self.noon)
    script.pass("a", timeline: 3)
    script.pass("b", role: .replica)
    var next = restarted(after: script, specification)
    next.pass("b", timeline: 4)
    #expect(next.primary == nil)
    let told = next.pass("a", timeline: 3)
    #expect(told.first == .routes(["b"]))
    #expect(next.changes.map(\.kind) == [.elected, .failover])
    #expect(next.changes.map(\.from) == [nil, "a"])
    #expect(next.changes.last?.reason == .higherTimeline(4, over: 3))
    #expect(next.violations == [])
  }

  @Test("its name is not resolved yet: it is waited for")
  func unresolved() {
    let memory = GroupMemory(group: "g", primary: DomainName.replicaDB.at("10.0.0.2").rawValue)
    var next = Script(.named(), remembering: memory, wall: Self.noon)
    next.resolve(.primaryDB, to: "10.0.0.1")
    next.pass(DomainName.primaryDB.at("10.0.0.1"))
    #expect(next.primary == nil)
    next.resolve(.replicaDB, to: "10.0.0.2")
    next.pass(DomainName.replicaDB.at("10.0.0.2"))
    #expect(next.primary == DomainName.replicaDB.at("10.0.0.2"))
  }

  @Test("a pin goes on over the restart: the group waits for its primary, and for nobody else")
  func pin() throws {
    var script = ready()
    try script.choose("b", pin: true)
    var next = restarted(after: script)
    next.pass("a")
    next.kill("b")
    next.wait(.seconds(60))
    #expect(next.primary == "b")
    #expect(next.serving(.primary) == [])
    #expect(next.snapshot.pinned)
    next.revive("b")
    #expect(next.serving(.primary) == ["b"])
    try next.lift()
    #expect(!next.snapshot.pinned)
  }

  @Test("a plain choice goes on, or is over when its backend cannot serve")
  func choice() throws {
    var script = ready()
    try script.choose("b")
    var next = restarted(after: script)
    next.pass("a")
    next.pass("b")
    #expect(next.primary == "b")
    #expect(next.snapshot.override?.backend == "b")
    next = restarted(after: script)
    next.pass("a")
    next.kill("b")
    #expect(next.primary == "a")
    #expect(next.kinds.contains(.overrideLifted))
  }

  @Test("a normal group has its chosen primary again; one that only was active-passive before has none")
  func normalMode() throws {
    let specification = GroupSpecification.fixed("a", "b", mode: .normal, primary: nil)
    var script = ready(specification)
    try script.choose("b")
    var next = restarted(after: script, specification)
    for id in next.members { next.pass(id) }
    #expect(next.primary == "b")
    next = restarted(after: ready(.fixed("a", "b")), specification)
    for id in next.members { next.pass(id) }
    #expect(next.primary == nil)
    #expect(next.violations == [])
  }

  @Test("the interval goes on where it was, flapping and all")
  func interval() {
    var script = ready(.fixed("a", "b"))
    for id: BackendID in ["a", "b", "a"] {
      script.kill(id)
      script.wait(.seconds(40))
      script.revive(id)
    }
    let before = script.snapshot
    var next = restarted(after: script, .fixed("a", "b"))
    #expect(next.snapshot.effectiveInterval == .seconds(40))
    #expect(before.failoverCount == next.snapshot.failoverCount)
    next.pass("a")
    #expect(next.snapshot.recentFailovers == before.recentFailovers)
  }

  @Test("what is remembered may be nonsense: of the future, out of order, negative, endless")
  func nonsense() {
    let memory = GroupMemory(
      group: "g", primary: "", override: .init(backend: "nobody", force: true, pin: true), drained: ["x"],
      automaticChanges: [.max, .min, 0] + (0..<1000).map { Self.noon.milliseconds + $0 }, lastFailover: .max, failoverCount: .min)
    var next = Script(.fixed("a", "b"), remembering: memory, wall: Self.noon)
    #expect(next.violations == [])
    for id in next.members { next.pass(id) }
    #expect(next.primary == "a")
    #expect(next.snapshot.failoverCount == 0)
    next.kill("a")
    next.wait(.seconds(3600))
    #expect(next.primary == "b")
    #expect(next.violations == [])
  }

  @Test("a group that nobody makes is forgotten after ten minutes, and until then waits to be made")
  func unclaimed() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let memories = ["x", "y"].map { GroupMemory(group: $0, primary: "b") }
    #expect(engine.handle(.remembered(groups: memories, windows: []), now: .zero) == [])
    var specification = GroupSpecification.fixed("a", "b")
    specification.name = "y"
    _ = engine.handle(.groupsConfigured([], leaving: .atOnce), now: .zero)
    _ = try engine.createGroup(specification, now: .zero + .seconds(300))
    let end = Instant.zero + .seconds(600)
    #expect(engine.handle(.deadlineReached, now: end).contains(.forget("x")))
    #expect(engine.nextDeadline.map { $0 > end } ?? true)
    let report = ProbeReport(member: MemberKey(group: "y", backend: "b"), outcome: .passed(latency: .zero, role: nil))
    _ = engine.handle(.probeFinished(report), now: end)
    #expect(engine["y"]?.leader == "b")
  }

  @Test("nobody has told what the clock says: times are left out, the rest is kept")
  func noClock() throws {
    var script = try Script(.fixed("a", "b"))
    for id in script.members { script.pass(id) }
    script.kill("a")
    #expect(script.memory == GroupMemory(group: "g", primary: "b", failoverCount: 1))
  }
}

@Suite("Explanations")
struct ExplanationTests {
  func ready(_ specification: GroupSpecification = .fixed("a", "b")) throws -> Script {
    var script = try Script(specification)
    for id in script.members { script.pass(id) }
    return script
  }

  @Test("a primary that serves, and what would change that")
  func serves() throws {
    let script = try ready()
    let explanation = try #require(script.explanation)
    #expect(explanation.rule == "primary_serves")
    #expect(explanation.decision == "a stays primary: it can serve, and no rule prefers another.")
    #expect(explanation.inputs.map(\.name) == ["minimum_interval", "failback"])
    #expect(script.input("minimum_interval") == "10s, never begun")
    #expect(explanation.changes == ["if a can serve no longer", "at any time, if a person chooses another primary"])
    #expect(explanation.snapshot == script.snapshot)
  }

  @Test("the interval runs: who waits, how long, and until when by the clock on the wall")
  func interval() throws {
    var script = try ready()
    // 2026-11-30, 12:00:00 UTC
    script.tell(WallTime(milliseconds: 1_796_040_000_000))
    script.kill("a")
    script.revive("a")
    script.wait(.seconds(4))
    script.kill("b")
    let explanation = try #require(script.explanation)
    #expect(explanation.rule == "waiting_for_minimum_interval")
    #expect(explanation.decision.contains("a is to become primary (the primary is down (refused: scripted)), and has to wait 6s"))
    #expect(script.input("minimum_interval") == "10s, 6s left")
    #expect(explanation.inputs.first?.age == .seconds(4))
    #expect(explanation.changes.first == "at 12:00:10, when minimum_interval ends")
    #expect(explanation.changes.contains("if b's probes pass"))
    script.wait(.seconds(6))
    #expect(script.primary == "a")
    #expect(script.input("minimum_interval") == "20s (10s × 2: the group flaps), 20s left")
  }

  @Test("nobody can serve: whose probes would have to pass")
  func nobody() throws {
    var script = try ready()
    for id: BackendID in ["b", "a"] { script.kill(id) }
    #expect(script.explanation?.rule == "nobody_eligible")
    #expect(script.explanation?.changes == ["if a's probes pass", "if b's probes pass"])
  }

  @Test("normal mode, shadow mode, and a group there is not")
  func others() throws {
    #expect(try ready(.fixed("a", "b", mode: .normal, primary: nil)).explanation?.rule == "all_serve")
    var shadow = GroupSpecification.fixed("a", "b")
    shadow.shadow = true
    var script = try ready(shadow)
    script.kill("a")
    #expect(script.input("shadow") == "b would be primary")
    #expect(script.explanation?.decision.hasPrefix("In shadow mode") == true)
    #expect(script.engine.explanation(of: "z", at: .zero) == nil)
  }
}
