import Failover
import Model
import Testing

@Suite("Health: from probe results to a verdict")
struct HealthTests {
  @Test("the first pass is enough at the start")
  func firstPass() throws {
    var script = try Script(.fixed("a"))
    #expect(script.pass("a") == [.routes(["a"]), .record(.healthChanged, "a"), .record(.elected, "a")])
  }

  @Test("a further pass changes nothing and says nothing")
  func quiet() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    #expect(script.pass("a") == [])
  }

  @Test("unhealthyThreshold failures in a row are down, one fewer is not")
  func threshold() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    #expect(script.fail("a", .timedOut) == [])
    #expect(script.fail("a", .timedOut) == [.routes([]), .record(.healthChanged, "a"), .record(.holdBegan, "a")])
  }

  @Test("a pass in between starts the count again")
  func consecutive() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    for _ in 1...5 {
      script.fail("a", .timedOut)
      script.pass("a")
    }
    #expect(script.serving(.primary) == ["a"])
  }

  @Test("a member that was down needs healthyThreshold passes in a row")
  func recovery() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    script.kill("a")
    script.pass("a")
    script.fail("a", .timedOut)
    #expect(script.pass("a") == [])
    #expect(script.pass("a") == [.routes(["a"]), .record(.healthChanged, "a"), .record(.holdEnded, "a")])
  }

  @Test("a member that never answered is down after the threshold too")
  func neverUp() throws {
    var script = try Script(.fixed("a", "b"))
    script.kill("a", .timedOut)
    #expect(script.snapshot.members[0].health == .down)
    #expect(script.snapshot.members[0].reason == "down: timed_out: scripted")
  }

  @Test(
    "an abrupt failure below the threshold asks again at once",
    arguments: [ProbeFailure.Kind.refused, .reset, .closed, .unreachable])
  func abrupt(kind: ProbeFailure.Kind) throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    #expect(script.fail("a", kind) == [.probeNow("a")])
  }

  @Test(
    "other failures wait for the next interval",
    arguments: [ProbeFailure.Kind.timedOut, .badResponse, .protocolError, .authentication])
  func slow(kind: ProbeFailure.Kind) throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    #expect(script.fail("a", kind) == [])
  }

  @Test("what this host could not even try says nothing about the member")
  func local() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    script.fail("a", .timedOut)
    for _ in 1...10 { #expect(script.fail("a", .local) == []) }
    #expect(script.serving(.primary) == ["a"])
    script.fail("a", .timedOut)
    #expect(script.serving(.primary) == [])
  }

  @Test("the score is the share of passes among the last twenty probes")
  func score() throws {
    var script = try Script(.fixed("a"))
    #expect(script.snapshot.members[0].score == nil)
    for _ in 1...3 { script.pass("a") }
    script.fail("a")
    #expect(script.snapshot.members[0].score == 75)
    for _ in 1...40 { script.fail("a") }
    #expect(script.snapshot.members[0].score == 0)
    for _ in 1...40 { script.pass("a") }
    #expect(script.snapshot.members[0].score == 100)
  }

  @Test("a report about somebody unknown is ignored")
  func unknownMember() throws {
    var script = try Script(.fixed("a"))
    #expect(script.pass("stranger") == [])
    let elsewhere = ProbeReport(member: MemberKey(group: "other", backend: "a"), outcome: .passed(latency: .zero, role: nil))
    #expect(script.feed(.probeFinished(elsewhere)) == [])
  }
}

@Suite("Health: what clients' connections tell")
struct DataPathTests {
  @Test("a client's failure and one failed probe are the verdict: two independent observations")
  func twoWitnesses() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    #expect(script.signal("a", .connectRefused) == [.probeNow("a")])
    #expect(script.primary == "a")
    #expect(script.fail("a", .refused) == [.routes(["b"]), .record(.healthChanged, "a"), .record(.failover, "b")])
  }

  @Test("clients alone never take a member down", arguments: DataPathSignal.Kind.allCases)
  func neverAlone(kind: DataPathSignal.Kind) throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    for _ in 1...100 {
      script.signal("a", kind)
      script.wait(.seconds(1))
    }
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == ["a"])
  }

  @Test("with a threshold of one the operator asked for one observation to be enough")
  func thresholdOne() throws {
    var check = HealthCheck.tcp
    check.unhealthyThreshold = 1
    var script = try Script(.fixed("a", "b", check: check))
    script.pass("a")
    script.pass("b")
    #expect(script.signal("a", .reset) == [.routes(["b"]), .record(.healthChanged, "a"), .record(.failover, "b")])
  }

  @Test("an ordinary end of a session counts for nothing, but is worth a look")
  func closed() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    #expect(script.signal("a", .closed) == [.probeNow("a")])
    script.fail("a", .timedOut)
    #expect(script.serving(.primary) == ["a"])
  }

  @Test("early probes are limited in rate, however many clients fail")
  func rateLimit() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    #expect(script.signal("a", .reset) == [.probeNow("a")])
    for _ in 1...1000 { #expect(script.signal("a", .reset) == []) }
    script.wait(.milliseconds(75))
    #expect(script.signal("a", .reset) == [.probeNow("a")])
  }

  @Test("a passed probe clears what clients reported")
  func cleared() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    script.signal("a", .reset)
    script.pass("a")
    script.fail("a", .timedOut)
    #expect(script.serving(.primary) == ["a"])
  }

  @Test("regression: a client's reset does not turn a probe's refused login into a death")
  func doesNotWorsenTheVerdict() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    script.kill("a", .authentication)
    #expect(script.standing("a") == .idle)
    #expect(script.signal("a", .reset) == [])
    #expect(script.standing("a") == .idle)
  }

  @Test("regression: late news of lost sessions does not delay a recovery")
  func doesNotDelayRecovery() throws {
    var script = try Script(.fixed("a"))
    script.pass("a")
    script.kill("a")
    script.pass("a")
    script.signal("a", .reset)
    script.pass("a")
    #expect(script.serving(.primary) == ["a"])
  }
}
