import Failover
import Model
import Testing

@Suite("What people ask for")
struct OperatorTests {
  func ready(check: HealthCheck = .tcp, failback: GroupSpecification.Failback = .manual) throws -> Script {
    var script = try Script(.fixed("a", "b", "c", check: check, failback: failback))
    script.pass("a", role: .primary)
    script.pass("b", role: .replica)
    script.pass("c", role: .replica)
    return script
  }

  @Test("a change of primary is one record, and need not wait for the minimum interval")
  func setPrimary() throws {
    var script = try ready()
    #expect(try script.choose("b") == [.routes(["b"]), .record(.manual, "b")])
    #expect(try script.choose("c") == [.routes(["c"]), .record(.manual, "c")])
    #expect(script.decisions.last?.reason == .operatorRequest(forced: false))
    #expect(script.decisions.last?.from == "b")
    #expect(script.snapshot.failoverCount == 2)
  }

  @Test("choosing the present primary changes nothing")
  func samePrimary() throws {
    var script = try ready()
    #expect(try script.choose("a") == [])
  }

  @Test("who is not eligible is refused, with the reason, and nothing changes")
  func notEligible() throws {
    var script = try ready()
    script.kill("b")
    let before = script.decisions
    #expect(throws: CommandError.notEligible("b", .down(ProbeFailure(.refused, "scripted")))) { try script.choose("b") }
    #expect(throws: CommandError.notAMember("z", of: "g")) { try script.choose("z", force: true) }
    #expect(script.primary == "a")
    #expect(script.decisions == before)
    #expect(script.state.override == nil)
  }

  @Test("the choice wins over automatic failback")
  func overFailback() throws {
    var script = try ready(failback: .automatic(after: .seconds(1)))
    try script.choose("b")
    script.wait(.seconds(3600))
    #expect(script.primary == "b")
  }

  @Test("the choice ends when its backend fails; then the engine decides again")
  func endsWithFailure() throws {
    var script = try ready(failback: .automatic(after: .seconds(20)))
    try script.choose("b")
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
    #expect(script.state.override == nil)
  }

  @Test("the choice ends when its backend fails, even when nobody else can take over")
  func endsWithFailureOfTheLast() throws {
    var script = try ready(failback: .automatic(after: .seconds(20)))
    try script.choose("b")
    for id: BackendID in ["a", "c", "b"] { script.kill(id) }
    #expect(script.state.override == nil)
    for id: BackendID in ["b", "a"] { script.revive(id) }
    #expect(script.primary == "b")
    script.wait(.seconds(20))
    #expect(script.primary == "a")
  }

  @Test("a chosen primary that dies is replaced at once: only automatic changes keep their distance from each other")
  func spacingAfterManual() throws {
    var script = try ready()
    try script.choose("b")
    script.kill("b")
    #expect(script.serving(.primary) == ["a"])
    script.revive("b")
    try script.choose("b")
    script.kill("b")
    #expect(script.snapshot.state == .holding)
    script.wait(.seconds(10))
    #expect(script.serving(.primary) == ["a"])
  }

  @Test("pinned: no automatic failover away, the group waits")
  func pin() throws {
    var script = try ready()
    try script.choose("b", pin: true)
    script.kill("b")
    script.wait(.seconds(3600))
    #expect(script.primary == "b")
    #expect(script.serving(.primary) == [])
    #expect(script.snapshot.pinned)
    script.revive("b")
    #expect(script.serving(.primary) == ["b"])
  }

  @Test("a new choice without a pin lifts the pin")
  func unpin() throws {
    var script = try ready()
    try script.choose("b", pin: true)
    try script.choose("b")
    #expect(!script.snapshot.pinned)
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
  }

  @Test("forced: serves although its probes fail, until they pass; from then on it is an ordinary choice")
  func force() throws {
    var script = try ready()
    script.kill("b")
    #expect(try script.choose("b", force: true) == [.routes(["b"]), .record(.manual, "b")])
    #expect(script.decisions.last?.reason == .operatorRequest(forced: true))
    for _ in 1...10 { script.fail("b") }
    #expect(script.serving(.primary) == ["b"])
    script.revive("b")
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
  }

  @Test("forced to a member that was never heard of: it serves")
  func forceUnprobed() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    try script.choose("b", force: true)
    #expect(script.serving(.primary) == ["b"])
  }

  @Test("forced to a replica: it leads and gets no writes, until it is promoted; the old primary gets none either")
  func forceReplica() throws {
    var script = try ready(check: .role)
    #expect(throws: CommandError.notEligible("b", .replica)) { try script.choose("b") }
    try script.choose("b", force: true)
    #expect(script.serving(.primary) == [])
    for _ in 1...100 {
      script.wait(.milliseconds(300))
      script.pass("a", role: .primary)
      script.pass("b", role: .replica)
    }
    #expect(script.primary == "b", "a forced choice is overruled by nobody")
    #expect(script.serving(.primary) == [])
    script.pass("b", role: .primary)
    #expect(script.serving(.primary) == ["b"])
  }

  @Test("regression: after the chosen primary was demoted and left, the choice is over")
  func endsWithDemotion() throws {
    var script = try ready(check: .role)
    try script.choose("a")
    script.pass("a", role: .replica)
    script.pass("b", role: .primary)
    #expect(script.primary == "b")
    #expect(script.state.override == nil)
  }

  @Test("the choice ends when its backend is gone, pinned or not")
  func endsWithRemoval() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    let (a, b) = (DomainName.primaryDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    script.pass(a)
    script.pass(b)
    try script.choose(b, pin: true)
    script.empty(.replicaDB)
    script.wait(.seconds(10))
    #expect(script.primary == a)
    #expect(script.state.override == nil)
  }

  @Test("a normal group has a primary once somebody chose one")
  func normalMode() throws {
    var script = try Script(.fixed("a", "b", mode: .normal, primary: nil))
    script.pass("a")
    script.pass("b")
    try script.choose("b")
    #expect(script.primary == "b")
    #expect(script.serving(.primary) == ["b"])
    #expect(script.serving(.any) == ["a", "b"])
  }
}

@Suite("Groups come and go")
struct GroupLifecycleTests {
  func specification(_ name: GroupName) -> GroupSpecification {
    var specification = GroupSpecification.fixed("a", "b")
    specification.name = name
    return specification
  }

  @Test("a new group brings a table, a probe plan and a record")
  func create() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let effects = try engine.createGroup(specification("x"), now: .zero)
    #expect(effects.count == 3)
    #expect(effects.first == .publish(RoutingChange(generation: 1, changed: engine.table.groups)))
    #expect(engine.table.generation == 1)
    #expect(engine.table["x"]?.members.map(\.backend) == ["a", "b"])
    #expect(throws: CommandError.groupExists("x")) { try engine.createGroup(specification("x"), now: .zero) }
  }

  @Test("regression: even a group with nothing in it is published")
  func createEmpty() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let nothing = GroupSpecification(name: "x", mode: .normal, members: [], holdTimeout: .zero, drainTimeout: .zero)
    let effects = try engine.createGroup(nothing, now: .zero)
    #expect(effects.first == .publish(RoutingChange(generation: 1, changed: engine.table.groups)))
    #expect(engine.table.groups.map(\.name) == ["x"])
  }

  @Test("a group made at run time asks for its names, which may have been resolved long ago")
  func createByName() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let effects = try engine.createGroup(.named(), now: .zero)
    #expect(effects.dropFirst().prefix(2) == [.lookUpNow(.primaryDB), .lookUpNow(.replicaDB)])
  }

  @Test("a deleted group leaves the table, the plan, and nothing else behind; the others are untouched")
  func delete() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    for name: GroupName in ["x", "y", "z"] { _ = try engine.createGroup(specification(name), now: .zero) }
    let effects = try engine.deleteGroup("x", now: .zero)
    #expect(engine.table.groups.map(\.name) == ["y", "z"])
    #expect(effects.prefix(2) == [.publish(RoutingChange(generation: 4, removed: ["x"])), .replaceProbes(of: "x", with: [])])
    let report = ProbeReport(member: MemberKey(group: "z", backend: "a"), outcome: .passed(latency: .zero, role: nil))
    _ = engine.handle(.probeFinished(report), now: .zero)
    #expect(engine["z"]?.leader == "a")
    #expect(engine["y"]?.leader == nil)
    #expect(engine.violations(at: .zero) == [])
    #expect(throws: CommandError.unknownGroup("x")) { try engine.deleteGroup("x", now: .zero) }
  }

  @Test("one event changes only the groups it is about")
  func isolation() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    for name: GroupName in ["x", "y"] { _ = try engine.createGroup(specification(name), now: .zero) }
    let before = engine.table["y"]
    let report = ProbeReport(member: MemberKey(group: "x", backend: "a"), outcome: .passed(latency: .zero, role: nil))
    _ = engine.handle(.probeFinished(report), now: .zero)
    #expect(engine.table["y"] == before)
    #expect(engine.table["x"]?.serving(.primary) == ["a"])
  }

  @Test("the configuration's groups come in one change; one that is named twice is what its first entry says")
  func configured() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let groups = [specification("x"), specification("y"), specification("x")]
    let effects = engine.handle(.groupsConfigured(groups, leaving: .afterHold), now: .zero)
    #expect(engine.groups.map(\.name) == ["x", "y"])
    #expect(effects.first == .publish(RoutingChange(generation: 1, changed: engine.table.groups)))
    #expect(engine.handle(.groupsConfigured(groups, leaving: .afterHold), now: .zero) == [])
  }

  @Test("records are numbered without a gap across groups")
  func sequence() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    var effects: [Effect] = []
    for name: GroupName in ["x", "y"] { effects += try engine.createGroup(specification(name), now: .zero) }
    effects += try engine.deleteGroup("y", now: .zero)
    let numbers = effects.compactMap { if case .record(let decision) = $0 { decision.sequence } else { nil } }
    #expect(numbers == [1, 2, 3])
  }
}
