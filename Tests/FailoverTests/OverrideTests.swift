import Failover
import Model
import Testing

@Suite("The end of a choice of primary")
struct OverrideTests {
  func ready(pin: Bool = false, failback: GroupSpecification.Failback = .manual) throws -> Script {
    var specification = GroupSpecification.fixed("a", "b", "c", failback: failback)
    specification.pin = pin
    var script = try Script(specification)
    for id in script.members { script.pass(id) }
    return script
  }

  @Test("a person lifts it: the group goes on from where it is, and fails over again")
  func lifted() throws {
    var script = try ready()
    try script.choose("b", pin: true)
    #expect(try script.lift() == [.record(.overrideLifted, nil)])
    #expect(script.decisions.last?.from == "b")
    #expect(script.decisions.last?.reason == .operatorRequest(forced: false))
    #expect(script.primary == "b")
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
  }

  @Test("where nobody has chosen, there is nothing to lift")
  func nothingToLift() throws {
    var script = try ready()
    #expect(throws: CommandError.noOverride("g")) { try script.lift() }
    var engine = script.engine
    #expect(throws: CommandError.unknownGroup("z")) { try engine.liftOverride(of: "z", now: .zero) }
  }

  @Test("a pinned primary that is dead keeps its place until the pin is lifted; then the failover is made at once")
  func liftedInNeed() throws {
    var script = try ready()
    try script.choose("b", pin: true)
    script.wait(.seconds(60))
    script.kill("b")
    #expect(script.explanation?.rule == "override_waits")
    #expect(script.explanation?.changes.contains("if a person lifts the choice of primary") == true)
    #expect(try script.lift().contains(.record(.failover, "a")))
  }

  @Test("it ends by itself when its backend fails: that is a record as well")
  func endsByItself() throws {
    var script = try ready()
    try script.choose("b")
    script.wait(.seconds(10))
    #expect(
      script.kill("b") == [
        .probeNow("b"), .routes(["a"]), .record(.healthChanged, "b"), .record(.overrideLifted, nil), .record(.failover, "a"),
      ])
    #expect(script.decisions.first { $0.kind == .overrideLifted }?.reason == .primaryDown(ProbeFailure(.refused, "scripted")))
  }

  @Test("it ends by itself when its backend is gone, pinned or not", arguments: [false, true])
  func endsWithItsBackend(pin: Bool) throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    let (a, b) = (DomainName.primaryDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    script.pass(a)
    script.pass(b)
    try script.choose(b, pin: pin)
    script.empty(.replicaDB)
    script.wait(.seconds(10))
    #expect(script.decisions.first { $0.kind == .overrideLifted }?.reason == .primaryRemoved)
    #expect(script.primary == a)
  }

  @Test("pin: true pins the designated primary from its election on")
  func configuredPin() throws {
    var script = try ready(pin: true)
    #expect(script.snapshot.pinned)
    script.kill("a")
    script.wait(.seconds(600))
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == [])
    #expect(script.input("override") == "a, pinned, by configuration")
  }

  @Test("a person chooses otherwise: the pin of the configuration is over, also when that choice ends")
  func configuredPinIsOver() throws {
    var script = try ready(pin: true)
    try script.choose("b")
    #expect(!script.snapshot.pinned)
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
    #expect(script.snapshot.pinned, "the designated primary was elected again")
  }

  @Test("a backup is not pinned by the configuration")
  func backupIsNotPinned() throws {
    var specification = GroupSpecification.fixed("a", "b", "c")
    specification.pin = true
    var script = try Script(specification)
    script.pass("b")
    script.pass("c")
    script.kill("a")
    #expect(script.primary == "b")
    #expect(!script.snapshot.pinned)
    script.kill("b")
    #expect(script.primary == "c")
  }

  @Test("the configuration takes its pin back, and sets it on the primary that leads")
  func pinInConfiguration() {
    let plain = GroupSpecification.fixed("a", "b")
    var pinned = plain
    pinned.pin = true
    var script = Script(described: plain)
    for id: BackendID in ["a", "b"] { script.pass(id) }
    script.describe(pinned)
    #expect(script.snapshot.pinned)
    #expect(script.describe(plain).contains(.record(.overrideLifted, nil)))
    #expect(!script.snapshot.pinned)
  }

  @Test("the designation moves: the pin of the configuration moves with it")
  func pinFollowsDesignation() {
    var specification = GroupSpecification.fixed("a", "b")
    specification.pin = true
    var script = Script(described: specification)
    for id: BackendID in ["a", "b"] { script.pass(id) }
    var moved = GroupSpecification.fixed("a", "b", primary: "b")
    moved.pin = true
    script.describe(moved)
    #expect(script.primary == "b")
    #expect(script.snapshot.override?.backend == "b")
    #expect(script.violations == [])
  }
}

@Suite("Shadow mode")
struct ShadowTests {
  func ready(failback: GroupSpecification.Failback = .manual) -> Script {
    var specification = GroupSpecification.fixed("a", "b", "c", failback: failback)
    specification.shadow = true
    var script = Script(described: specification)
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    return script
  }

  @Test("it decides, records once, and does not act: connections wait")
  func decides() {
    var script = ready()
    #expect(script.primary == "a")
    let told = script.kill("a")
    #expect(told.contains(.record(.shadowed, "b")))
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == [])
    #expect(script.snapshot.shadowPrimary == "b")
    #expect(script.decisions.first { $0.kind == .shadowed }?.reason == .primaryDown(ProbeFailure(.refused, "scripted")))
    for _ in 1...20 {
      script.wait(.seconds(1))
      script.fail("a")
    }
    #expect(script.kinds.count { $0 == .shadowed } == 1)
    #expect(script.snapshot.failoverCount == 0)
    #expect(script.violations == [])
  }

  @Test("it goes on from what it decided, as the real thing would")
  func goesOn() {
    var script = ready()
    script.kill("a")
    script.revive("a")
    script.wait(.seconds(60))
    #expect(script.snapshot.shadowPrimary == "b", "no failback")
    #expect(script.serving(.primary) == ["a"])
    script.kill("b")
    #expect(script.kinds.last { $0 == .shadowed } != nil)
    #expect(script.snapshot.shadowPrimary == nil, "it would be the real primary again")
    #expect(script.decisions.last { $0.kind == .shadowed }?.to == "a")
  }

  @Test("its failback is a decision as well")
  func failback() {
    var script = ready(failback: .automatic(after: .seconds(30)))
    script.kill("a")
    script.revive("a")
    #expect(script.wait(.seconds(30)) == [.record(.shadowed, "a")])
    #expect(script.snapshot.shadowPrimary == nil)
  }

  @Test("a person's request is carried out, and ends what the shadow thought")
  func person() throws {
    var script = ready()
    script.kill("a")
    try script.choose("c")
    #expect(script.primary == "c")
    #expect(script.serving(.primary) == ["c"])
    #expect(script.snapshot.shadowPrimary == nil)
  }

  @Test("without shadow mode the group decides again, for real")
  func leaves() {
    var script = ready()
    script.kill("a")
    script.wait(.seconds(60))
    script.describe(.fixed("a", "b", "c"))
    #expect(script.primary == "b")
    #expect(script.snapshot.shadowPrimary == nil)
  }
}
