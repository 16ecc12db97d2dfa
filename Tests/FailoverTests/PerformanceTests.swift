import Failover
import Model
import Testing

@Suite("Score and prediction")
struct PerformanceTests {
  func ready(
    mode: GroupMode = .normal, degradeBelow: Int? = 70, ejectBelow: Int? = nil, usual: Duration = .milliseconds(1)
  ) throws -> Script {
    var specification = GroupSpecification.fixed("a", "b", mode: mode, primary: mode == .normal ? nil : "a")
    specification.predictive = Predictive(degradeBelow: degradeBelow, ejectBelow: ejectBelow)
    var script = try Script(specification)
    for _ in 1...20 {
      script.pass("a", latency: usual)
      script.pass("b", latency: usual)
    }
    script.wait(.seconds(20))
    return script
  }

  @Test("one slow probe is nothing")
  func oneSlow() throws {
    var script = try ready()
    #expect(script.pass("a", latency: .milliseconds(290)) == [])
    #expect(script.score("a") == 100)
  }

  @Test("microseconds more on loopback are no degradation")
  func jitter() throws {
    var script = try ready(usual: .microseconds(40))
    for _ in 1...100 { script.pass("a", latency: .milliseconds(4)) }
    #expect(script.score("a") == 100)
  }

  @Test("before the first eight passes nobody is slow")
  func noBaseline() throws {
    var script = try Script(.fixed("a", "b", mode: .normal, primary: nil))
    for latency in [1, 200, 1, 200, 1, 200, 1] { script.pass("a", latency: .milliseconds(latency)) }
    #expect(script.score("a") == 100)
  }

  @Test("four times the usual latency is half the score")
  func slow() throws {
    var script = try ready(usual: .milliseconds(20))
    for _ in 1...40 { script.pass("a", latency: .milliseconds(80)) }
    #expect((45...65).contains(script.score("a") ?? 0))
  }

  @Test("what lasts for minutes becomes usual")
  func baselineFollows() throws {
    var script = try ready(usual: .milliseconds(20))
    for _ in 1...3000 { script.pass("a", latency: .milliseconds(80)) }
    #expect(script.score("a") == 100)
  }

  @Test("errors of clients' connections cost points, and passed probes forget them")
  func errors() throws {
    var script = try ready()
    for _ in 1...10 { script.signal("a", .reset) }
    #expect(script.score("a") == 80)
    for _ in 1...10 { script.pass("a") }
    #expect(script.score("a") == 100)
  }

  @Test("a degrading member gets less and less traffic, in steps, and comes back in steps")
  func progressive() throws {
    var script = try ready()
    var shares: [UInt8] = []
    for _ in 1...40 {
      script.pass("a", latency: .milliseconds(290))
      if let share = script.share("a"), share != shares.last { shares.append(share) }
    }
    #expect(shares.first == 100)
    #expect(shares == shares.sorted(by: >))
    #expect((3...6).contains(shares.count))
    #expect(shares.last ?? 100 <= 20)
    #expect(script.share("b") == 100)
    #expect(script.serving(.any) == ["a", "b"])
    let lowest = shares.last
    shares = []
    for _ in 1...60 {
      script.pass("a")
      if let share = script.share("a"), share != shares.last { shares.append(share) }
    }
    #expect(shares == shares.sorted())
    #expect(shares.last == 100)
    #expect(lowest != 100)
    #expect(script.kinds.filter { $0 == .degraded || $0 == .restored } == [.degraded, .restored])
  }

  @Test("a score that goes up and down by a few points changes nothing again and again")
  func hysteresis() throws {
    var script = try ready(degradeBelow: 90)
    // 17 of 20 passed: 85. One fewer failure is 90, which is not enough to be restored.
    for _ in 1...3 {
      script.fail("a", .timedOut)
      script.pass("a")
    }
    let count = script.decisions.count
    #expect(script.share("a") == 80)
    for _ in 1...8 {
      for _ in 1...6 { script.pass("a") }
      script.fail("a", .timedOut)
    }
    #expect(script.share("a") == 80)
    #expect(script.decisions.count == count)
  }

  @Test("active-passive: a failing primary is replaced before it is dead, and serves until then")
  func eject() throws {
    var script = try ready(mode: .activePassive, ejectBelow: 30)
    for _ in 1...40 where script.primary == "a" {
      script.pass("a", latency: .milliseconds(290))
      #expect(script.serving(.primary).count == 1)
    }
    #expect(script.primary == "b")
    #expect(script.changes.last?.reason.label == "primary_degraded")
    #expect(script.reason("a")?.hasPrefix("up, not eligible: its health score is") == true)
    for _ in 1...60 { script.pass("a") }
    #expect(script.primary == "b")
    #expect(script.reason("a") == "eligible, backup")
  }

  @Test("the minimum interval protects a failing primary too: it serves until it is over")
  func ejectWaits() throws {
    var script = try ready(mode: .activePassive, ejectBelow: 30)
    let leader = try #require(script.primary)
    let other: BackendID = leader == "a" ? "b" : "a"
    for _ in 1...20 { script.pass(other) }
    let changes = script.changes.count
    for _ in 1...40 { script.pass(leader, latency: .milliseconds(290)) }
    #expect(script.changes.count == changes + 1)
    for _ in 1...60 { script.pass(leader) }
    for _ in 1...40 {
      script.pass(other, latency: .milliseconds(290))
      #expect(script.serving(.primary) == [other])
    }
    script.wait(.seconds(11))
    #expect(script.serving(.primary) == [leader])
  }

  @Test("the last one is never ejected", arguments: [GroupMode.normal, .activePassive])
  func lastOne(mode: GroupMode) throws {
    var script = try ready(mode: mode, ejectBelow: 30)
    for _ in 1...60 {
      script.pass("a", latency: .milliseconds(290))
      script.pass("b", latency: .milliseconds(290))
      #expect(script.violations == [])
    }
    #expect(!script.serving(mode == .normal ? .any : .primary).isEmpty)
    script.kill("b")
    // The minimum interval may still run.
    script.wait(.seconds(11))
    #expect(script.serving(mode == .normal ? .any : .primary) == ["a"])
  }

  @Test("normal: an ejected member takes no new connections, and its sessions stay")
  func ejectNormal() throws {
    var script = try ready(ejectBelow: 30)
    for _ in 1...40 { script.pass("a", latency: .milliseconds(290)) }
    #expect(script.serving(.any) == ["b"])
    #expect(script.standing("a", .any) == .idle)
    script.kill("b")
    #expect(script.serving(.any) == ["a"])
  }

  @Test("what a person chose is not for the score to say")
  func chosen() throws {
    var script = try ready(mode: .activePassive, ejectBelow: 30)
    try script.choose("b")
    for _ in 1...60 { script.pass("b", latency: .milliseconds(290)) }
    script.wait(.seconds(20))
    #expect(script.primary == "b")
  }
}
