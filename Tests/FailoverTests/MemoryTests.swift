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

  func restarted(after script: Script, _ specification: GroupSpecification = .fixed("a", "b", "c")) -> Script {
    let later = Self.noon + (script.now - .zero) + .seconds(60)
    return Script(specification, remembering: script.memory, wall: later)
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

  @Test("it is dead: the designated one is elected as soon as that is known")
  func primaryIsDead() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script)
    next.pass("a")
    next.kill("b")
    #expect(next.primary == "a")
    #expect(next.changes.map(\.kind) == [.elected])
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
  }

  @Test("it is no member any more: nobody waits for it")
  func primaryIsGone() {
    var script = ready()
    script.kill("a")
    var next = restarted(after: script, .fixed("a"))
    next.pass("a")
    #expect(next.primary == "a")
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
