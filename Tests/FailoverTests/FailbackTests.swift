import Failover
import Model
import Testing

@Suite("Failback after a restart")
struct FailbackAfterRestartTests {
  @Test("when the primary of the last run is found again, a failback that is due is made at once")
  func dueWhenFound() throws {
    var specification = GroupSpecification.fixed("a", "b")
    specification.failback = .automatic(after: .seconds(1))
    specification.minimumInterval = .zero
    var engine = Engine(holdRemoved: .seconds(10))
    let memory = GroupMemory(group: specification.name.rawValue, primary: "b")
    _ = engine.handle(.remembered(groups: [memory], windows: []), now: .zero)
    _ = engine.handle(.groupsConfigured([specification], leaving: .afterHold), now: .zero)
    func pass(_ id: BackendID, at now: Instant) {
      let report = ProbeReport(
        member: MemberKey(group: specification.name, backend: id), outcome: .passed(latency: .zero, role: nil))
      _ = engine.handle(.probeFinished(report), now: now)
    }
    pass("a", at: .zero)
    #expect(engine[specification.name]?.leader == nil)
    pass("b", at: .zero + .seconds(2))
    #expect(engine[specification.name]?.leader == "a")
    #expect(engine.violations(at: .zero + .seconds(2)) == [])
  }
}

@Suite("Failback")
struct FailbackTests {
  func failedOver(_ failback: GroupSpecification.Failback) throws -> Script {
    var script = try Script(.fixed("a", "b", failback: failback))
    script.pass("a")
    script.pass("b")
    script.kill("a")
    script.wait(.seconds(30))
    return script
  }

  @Test("manual: who could take over, for how long, and that a person has to say so")
  func manual() throws {
    var script = try failedOver(.manual)
    #expect(script.snapshot.failback == nil, "it is down")
    script.revive("a")
    let ready = script.now
    script.wait(.seconds(42 * 60))
    #expect(script.snapshot.failback == FailbackSnapshot(backend: "a", readySince: ready, flaps: 1, due: nil))
    #expect(script.input("failback") == "manual, a ready for 42m, 1 flaps in the last hour")
    #expect(script.explanation?.changes.contains("if a person chooses a, which is named as the primary and ready") == true)
    script.wait(.seconds(3600))
    #expect(script.snapshot.failback?.flaps == 0)
    #expect(script.primary == "b")
    try script.choose("a")
    #expect(script.snapshot.failback == nil)
  }

  @Test("automatic: it is due after failback_after, and happens then")
  func automatic() throws {
    var script = try failedOver(.automatic(after: .seconds(60)))
    script.revive("a")
    let due = try #require(script.snapshot.failback?.due)
    #expect(due == script.now + .seconds(60))
    #expect(script.input("failback") == "automatic after 1m, a ready for 0s, 1 flaps in the last hour, due in 1m")
    script.wait(.milliseconds(59_999))
    #expect(script.primary == "b")
    script.wait(.milliseconds(1))
    #expect(script.primary == "a")
    #expect(script.changes.last?.kind == .failback)
  }

  @Test("every failure begins the time anew, and is counted")
  func flaps() throws {
    var script = try failedOver(.automatic(after: .seconds(60)))
    for _ in 1...5 {
      script.revive("a")
      script.wait(.seconds(50))
      script.kill("a")
    }
    script.revive("a")
    #expect(script.primary == "b")
    #expect(script.snapshot.failback?.flaps == 6)
    #expect(script.snapshot.failback?.readySince == script.now)
  }

  @Test("however often it fails, what is remembered of it is bounded")
  func bounded() throws {
    var script = try failedOver(.manual)
    for _ in 1...100 {
      script.revive("a")
      script.kill("a")
    }
    script.revive("a")
    #expect(script.snapshot.failback?.flaps == 16)
    #expect(script.violations == [])
  }

  @Test("while a person's choice counts it is not due")
  func chosen() throws {
    var script = try failedOver(.automatic(after: .seconds(60)))
    try script.choose("b")
    script.revive("a")
    #expect(script.snapshot.failback?.due == nil)
    script.wait(.seconds(600))
    #expect(script.primary == "b")
    #expect(try script.lift() == [.routes(["a"]), .record(.overrideLifted, nil), .record(.failback, "a")])
  }

  @Test("the interval puts it off, and the time that is shown says so")
  func interval() throws {
    var script = try failedOver(.automatic(after: .seconds(1)))
    script.revive("a")
    script.wait(.seconds(1))
    #expect(script.primary == "a")
    script.kill("a")
    script.revive("a")
    script.wait(.seconds(2))
    script.kill("a")
    script.wait(.seconds(30))
    #expect(script.primary == "b")
    let changed = script.now
    script.revive("a")
    let due = try #require(script.snapshot.failback?.due)
    #expect(due > changed + .seconds(1))
    script.wait(due - script.now - .milliseconds(1))
    #expect(script.primary == "b")
    script.wait(.milliseconds(1))
    #expect(script.primary == "a")
  }
}
