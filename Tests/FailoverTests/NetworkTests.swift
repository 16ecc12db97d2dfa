import Failover
import Model
import Testing

@Suite("Is it me?")
struct NetworkTests {
  /// `a` leads; three others stand by.
  func ready(_ specification: GroupSpecification = .fixed("a", "b", "c", "d")) throws -> Script {
    var script = try Script(specification)
    for id in script.members { script.pass(id) }
    return script
  }

  /// Everybody's probes end without an answer.
  func silence(_ script: inout Script, _ kind: ProbeFailure.Kind = .timedOut) {
    for id in script.members { script.fail(id, kind) }
  }

  @Test(
    "everybody falls silent: the primary stays, nobody is reset, and it is said once",
    arguments: [.timedOut, .unreachable] as [ProbeFailure.Kind])
  func frozen(kind: ProbeFailure.Kind) throws {
    var script = try ready()
    silence(&script, kind)
    #expect(script.fail("a", kind).contains(.record(.failoversSuspended, "b")))
    for _ in 1...10 {
      script.wait(.milliseconds(300))
      silence(&script, kind)
    }
    #expect(script.primary == "a")
    #expect(script.standing("a") == .idle, "nobody new, and nobody is thrown out")
    #expect(script.kinds.count { $0 == .failoversSuspended } == 1)
    #expect(!script.kinds.contains(.failover))
    #expect(
      script.snapshot.suspension == "4 of 4 backends fell silent at once: this host's network is suspected"
        || script.snapshot.suspension?.contains("of 4 backends") == true)
    #expect(script.input("network")?.hasPrefix("suspected") == true)
    #expect(script.violations == [])
  }

  @Test("the first answer ends it; who was silent has the time to come back, and then nothing has changed")
  func comesBack() throws {
    var script = try ready()
    for _ in 1...10 {
      silence(&script)
      script.wait(.milliseconds(300))
    }
    script.revive("b")
    #expect(script.primary == "a", "b was only asked first")
    #expect(script.standing("a") == .idle)
    script.wait(.milliseconds(300))
    script.revive("a")
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == ["a"])
    script.wait(.seconds(60))
    #expect(
      script.kinds.filter { $0 == .failoversSuspended || $0 == .failoversResumed } == [.failoversSuspended, .failoversResumed])
    #expect(!script.kinds.contains(.failover))
  }

  @Test("a primary that does not come back with the others is replaced, and its sessions end")
  func doesNotComeBack() throws {
    var script = try ready()
    for _ in 1...10 {
      silence(&script)
      script.wait(.milliseconds(300))
    }
    for id: BackendID in ["b", "c", "d"] { script.revive(id) }
    #expect(script.primary == "a")
    #expect(script.wait(.milliseconds(899)) == [])
    #expect(script.wait(.milliseconds(1)).contains(.record(.failover, "b")))
    #expect(script.standing("a") == .dead)
  }

  @Test("a refused connection is an answer: the network works, and the failover is not delayed")
  func refused() throws {
    var script = try ready()
    for id: BackendID in ["b", "c", "d"] { script.fail(id, .timedOut) }
    script.fail("a", .refused)
    #expect(script.fail("a", .refused).contains(.record(.failover, "b")))
  }

  @Test("one primary that dies is followed at once")
  func oneDies() throws {
    var script = try ready(.fixed("a", "b"))
    script.fail("a", .timedOut)
    #expect(script.fail("a", .timedOut).contains(.record(.failover, "b")))
    #expect(script.standing("a") == .dead)
  }

  @Test("most die and a backup answers: it is asked at once, and takes over with its answer")
  func backupAnswers() throws {
    var script = try ready(.fixed("a", "b", "c"))
    for id: BackendID in ["b", "a"] { script.fail(id, .timedOut) }
    script.fail("b", .timedOut)
    #expect(script.fail("a", .timedOut).contains(.probeNow("c")))
    #expect(script.primary == "a")
    #expect(
      script.pass("c").filter { $0 != .routes(["c"]) } == [
        .record(.failoversResumed, "a"), .record(.failover, "c"), .record(.holdEnded, "c"),
      ])
  }

  @Test("probes that could not be sent count as silence, and bring nobody down")
  func local() throws {
    var script = try ready()
    for id: BackendID in ["b", "c", "d"] { script.fail(id, .local) }
    script.kill("a", .timedOut)
    #expect(script.primary == "a")
    #expect(script.kinds.last == .holdBegan)
    #expect(script.kinds.contains(.failoversSuspended))
    script.pass("b")
    #expect(script.primary == "a", "b could not be asked either: the primary has the same right")
  }

  @Test("members on this host say nothing about the network")
  func loopback() throws {
    var specification = GroupSpecification.fixed("a", "b")
    for (position, text) in ["127.0.0.1:1", "[::1]:1"].enumerated() {
      specification.members[position].origin = .fixed(position == 0 ? "a" : "b", try #require(SocketAddress(text)))
    }
    var script = try ready(specification)
    script.fail("b", .timedOut)
    script.kill("a", .timedOut)
    #expect(script.primary == "b")
  }

  @Test("who was dead before is no part of it")
  func longDead() throws {
    var script = try ready()
    for id: BackendID in ["b", "c"] {
      script.kill(id, .timedOut)
      script.pass("d")
    }
    script.wait(.seconds(600))
    script.pass("a")
    for id: BackendID in ["b", "c"] { script.fail(id, .timedOut) }
    script.kill("a", .timedOut)
    #expect(script.primary == "d")
  }

  @Test("a host that carries the primaries of several groups dies: they all fail over as fast as one")
  func severalGroups() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let groups: [GroupName] = ["x", "y", "z"]
    for group in groups {
      var specification = GroupSpecification.fixed("a", "b")
      specification.name = group
      _ = try engine.createGroup(specification, now: .zero)
    }
    func report(_ group: GroupName, _ id: BackendID, _ outcome: ProbeOutcome) {
      _ = engine.handle(.probeFinished(ProbeReport(member: MemberKey(group: group, backend: id), outcome: outcome)), now: .zero)
    }
    for group in groups { for id: BackendID in ["a", "b"] { report(group, id, .passed(latency: .zero, role: nil)) } }
    for _ in 1...2 { for group in groups { report(group, "a", .failed(ProbeFailure(.timedOut, ""))) } }
    for group in groups { #expect(engine[group]?.leader == "b") }
    #expect(engine.violations(at: .zero) == [])
  }

  @Test("a suspicion reaches the groups it is about, and only when it begins and ends")
  func acrossGroups() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let groups: [GroupName] = ["x", "y"]
    for group in groups {
      var specification = GroupSpecification.fixed("a", "b")
      specification.name = group
      _ = try engine.createGroup(specification, now: .zero)
    }
    var effects: [Effect] = []
    func report(_ group: GroupName, _ id: BackendID, _ outcome: ProbeOutcome) {
      let member = MemberKey(group: group, backend: id)
      effects = engine.handle(.probeFinished(ProbeReport(member: member, outcome: outcome)), now: .zero)
    }
    let silent = ProbeOutcome.failed(ProbeFailure(.timedOut, ""))
    for group in groups { for id: BackendID in ["a", "b"] { report(group, id, .passed(latency: .zero, role: nil)) } }
    for id: BackendID in ["b", "a"] { for group in groups { report(group, id, silent) } }
    for group in groups { report(group, "a", silent) }
    let suspended = engine.groups.filter { $0.snapshot(at: .zero).suspension != nil }
    #expect(suspended.map(\.name) == groups)
    report("x", "b", .passed(latency: .zero, role: nil))
    #expect(engine.groups.allSatisfy { $0.leader == "a" })
    #expect(engine.violations(at: .zero) == [])
    _ = try engine.deleteGroup("y", now: .zero)
    #expect(engine.violations(at: .zero) == [])
    #expect(effects.count { if case .publish = $0 { true } else { false } } <= 1)
  }

  @Test("a person may change while this host is suspected")
  func person() throws {
    var script = try ready()
    silence(&script)
    script.fail("a", .timedOut)
    try script.choose("b", force: true)
    #expect(script.primary == "b")
  }
}
