import Failover
import Model
import Testing

@Suite("Flap protection")
struct FlapTests {
  /// `a` leads, `b` stands by.
  func ready(limit: FailoverLimit? = nil, minimumInterval: Duration = .seconds(10)) throws -> Script {
    var specification = GroupSpecification.fixed("a", "b", minimumInterval: minimumInterval)
    specification.maximumFailovers = limit
    var script = try Script(specification)
    script.pass("a")
    script.pass("b")
    return script
  }

  /// The primary dies and comes back as a backup, and so on, as often as it can.
  func flap(_ script: inout Script, times: Int) -> [Duration] {
    var gaps: [Duration] = []
    for _ in 0..<times {
      guard let primary = script.primary else { break }
      let other: BackendID = primary == "a" ? "b" : "a"
      let before = script.now
      script.kill(primary)
      // It is not up again before the other one leads.
      for _ in 0..<100_000 where script.primary == primary { script.wait(.seconds(1)) }
      #expect(script.primary == other)
      gaps.append(script.now - before)
      script.revive(primary)
    }
    return gaps
  }

  @Test("the interval doubles with each change that comes as soon as it may, up to 64 times")
  func doubles() throws {
    var script = try ready()
    #expect(script.snapshot.effectiveInterval == .seconds(10))
    let gaps = flap(&script, times: 10)
    #expect(gaps == [0, 10, 20, 40, 80, 160, 320, 640, 640, 640].map { .seconds($0) })
    #expect(script.snapshot.effectiveInterval == .seconds(640))
    #expect(script.violations == [])
  }

  @Test("it comes back as the changes leave the span, down to the plain one")
  func halves() throws {
    var script = try ready()
    // At 0, 10, 30 and 70 s.
    _ = flap(&script, times: 4)
    #expect(script.snapshot.effectiveInterval == .seconds(80))
    script.wait(.seconds(5120 - 70))
    #expect(script.snapshot.effectiveInterval == .seconds(40))
    script.wait(.seconds(10))
    #expect(script.snapshot.effectiveInterval == .seconds(20))
    script.wait(.seconds(20))
    #expect(script.snapshot.effectiveInterval == .seconds(10))
    script.wait(.seconds(40))
    #expect(flap(&script, times: 2) == [.zero, .seconds(10)])
  }

  @Test("changes that are an hour apart are never delayed")
  func farApart() throws {
    var script = try ready()
    for _ in 1...20 {
      #expect(flap(&script, times: 1) == [.zero])
      #expect(script.snapshot.effectiveInterval <= .seconds(20))
      script.wait(.seconds(3600))
    }
  }

  @Test("a person may always change, and does not make the group flap")
  func person() throws {
    var script = try ready()
    _ = flap(&script, times: 4)
    #expect(script.snapshot.nextAllowedChange != nil)
    let other: BackendID = script.primary == "a" ? "b" : "a"
    try script.choose(other)
    #expect(script.primary == other)
    #expect(script.snapshot.effectiveInterval == .seconds(80))
  }

  @Test("no more changes than the limit allows; one record when one is held back, one when the span has moved on")
  func limit() throws {
    var script = try ready(limit: FailoverLimit(count: 2, within: .seconds(600)), minimumInterval: .seconds(1))
    _ = flap(&script, times: 2)
    #expect(script.snapshot.recentFailovers == 2)
    #expect(script.snapshot.suspension?.contains("2 automatic changes of primary within 10m") == true)
    #expect(!script.kinds.contains(.failoversSuspended), "nothing is due")
    script.wait(.seconds(60))
    let told = script.kill("a")
    #expect(told.contains(.record(.failoversSuspended, "b")))
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == [])
    #expect(script.explanation?.rule == "maximum_failovers_reached")
    #expect(script.input("maximum_failovers") == "2 of 2 in 10m used")
    script.fail("a")
    script.pass("b")
    #expect(script.wait(.seconds(538)) == [])
    #expect(
      script.wait(.seconds(2)) == [
        .routes(["b"]), .record(.failoversResumed, "a"), .record(.failover, "b"), .record(.holdEnded, "b"),
      ])
    #expect(script.kinds.count { $0 == .failoversSuspended } == 1)
    #expect(script.snapshot.recentFailovers == 1, "the first two have left the span")
    #expect(script.snapshot.suspension == nil)
  }

  @Test("the suspension ends with the span, also when the primary came back meanwhile")
  func limitWithoutNeed() throws {
    var script = try ready(limit: FailoverLimit(count: 1, within: .seconds(600)))
    _ = flap(&script, times: 1)
    script.wait(.seconds(60))
    script.kill("b")
    script.revive("b")
    #expect(script.primary == "b")
    #expect(script.wait(.seconds(540)) == [.record(.failoversResumed, "b")])
    #expect(script.snapshot.suspension == nil)
  }

  @Test("a person may change beyond the limit")
  func personBeyondLimit() throws {
    var script = try ready(limit: FailoverLimit(count: 1, within: .seconds(600)))
    _ = flap(&script, times: 1)
    try script.choose("a")
    try script.choose("b")
    #expect(script.primary == "b")
    #expect(script.snapshot.recentFailovers == 1)
  }

  @Test("how long the primary had been silent when it was found to be down")
  func detection() throws {
    var script = try ready()
    script.wait(.milliseconds(400))
    script.fail("a", .timedOut)
    script.wait(.milliseconds(300))
    script.fail("a", .timedOut)
    #expect(script.changes.last?.detection == .milliseconds(700))
    #expect(script.changes.first?.detection == nil)
    #expect(script.changes.last?.kind == .failover)
  }

  @Test("the time of a hold is no part of the detection")
  func detectionBeforeHold() throws {
    var script = try ready()
    _ = flap(&script, times: 1)
    script.wait(.seconds(1))
    script.kill("b")
    script.wait(.seconds(20))
    #expect(script.primary == "a")
    #expect(script.changes.last?.detection == .seconds(1))
  }
}
