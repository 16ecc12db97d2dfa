import Failover
import Model
import Testing

@Suite("The first election")
struct FirstElectionTests {
  @Test("waits for the designated primary although a backup answers first")
  func waitsForDesignated() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("b")
    #expect(script.primary == nil)
    #expect(script.snapshot.state == .starting)
    #expect(script.pass("a").contains(.record(.elected, "a")))
    #expect(script.changes.map(\.reason) == [.firstElection])
    #expect(script.snapshot.state == .serving)
  }

  @Test("takes a backup as soon as the designated primary is known to be down")
  func designatedIsDown() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("b")
    script.kill("a")
    #expect(script.primary == "b")
    #expect(script.snapshot.state == .failedOver)
  }

  @Test("takes the best backup when the hold time is over, by itself")
  func holdTimeIsOver() throws {
    var script = try Script(.fixed("a", "b", "c"))
    script.pass("c")
    script.pass("b")
    #expect(script.wait(.seconds(9)) == [])
    #expect(script.wait(.seconds(1)) == [.routes(["b"]), .record(.elected, "b")])
  }

  @Test("waits for the name of the designated primary to be resolved")
  func unresolvedName() throws {
    var script = try Script(.named())
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    script.lookUpFails(.primaryDB)
    #expect(script.primary == nil)
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.primary == nil)
    script.pass(DomainName.primaryDB.at("10.0.0.1"))
    #expect(script.primary == DomainName.primaryDB.at("10.0.0.1"))
  }

  @Test("does not wait for a name that the authority says leads nowhere")
  func emptyName() throws {
    var script = try Script(.named())
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    script.empty(.primaryDB)
    #expect(script.primary == DomainName.replicaDB.at("10.0.0.2"))
  }

  @Test("nobody answers: the wait becomes a hold, once, and the names are looked up again")
  func nobody() throws {
    var script = try Script(.named())
    script.lookUpFails(.primaryDB)
    #expect(
      script.wait(.seconds(60)) == [.lookUp(.primaryDB), .lookUp(.replicaDB), .record(.holdBegan, nil)])
    #expect(script.snapshot.state == .holding)
  }

  @Test("an election is not a failover: the first failover after it need not wait")
  func electionIsNoChange() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    #expect(script.snapshot.failoverCount == 0)
    #expect(script.snapshot.lastFailover == nil)
    script.kill("a")
    #expect(script.primary == "b")
    #expect(script.snapshot.failoverCount == 1)
  }
}

@Suite("Active-passive failover")
struct FailoverTests {
  /// `a` leads; `b` and `c` stand by.
  func ready(failback: GroupSpecification.Failback = .manual, minimumInterval: Duration = .seconds(10)) throws -> Script {
    var script = try Script(.fixed("a", "b", "c", failback: failback, minimumInterval: minimumInterval))
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    return script
  }

  @Test("the primary's death is one record that says from whom, to whom, why, and on what evidence")
  func record() throws {
    var script = try ready()
    script.wait(.seconds(3))
    script.fail("a")
    #expect(script.fail("a") == [.routes(["b"]), .record(.healthChanged, "a"), .record(.failover, "b")])
    let decision = try #require(script.decisions.last)
    #expect(decision.from == "a")
    #expect(decision.to == "b")
    #expect(decision.at == .zero + .seconds(3))
    #expect(decision.reason == .primaryDown(ProbeFailure(.refused, "scripted")))
    #expect(decision.reason.label == "primary_down")
    #expect(decision.evidence == ["a: down (refused: scripted)", "b: up", "c: up"])
  }

  @Test("the dead primary's sessions end at once; the backups take none but their own listeners' connections")
  func standings() throws {
    var script = try ready()
    #expect([script.standing("a"), script.standing("b"), script.standing("c")] == [.serve, .demoted, .demoted])
    #expect(script.serving(.replica) == ["b", "c"])
    #expect(script.serving(.any) == ["a", "b", "c"])
    script.kill("a")
    #expect([script.standing("a"), script.standing("b"), script.standing("c")] == [.dead, .serve, .demoted])
    #expect(script.serving(.replica) == ["c"])
  }

  @Test("the next one in configured order takes over, not the one that was heard last")
  func order() throws {
    var script = try ready()
    script.kill("b")
    script.kill("a")
    #expect(script.primary == "c")
  }

  @Test("the designated one is preferred wherever it stands in the configuration")
  func designatedFirst() throws {
    var script = try Script(.fixed("a", "b", "c", primary: "c"))
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    #expect(script.primary == "c")
    script.kill("c")
    #expect(script.primary == "a")
    script.revive("c")
    script.wait(.seconds(10))
    script.kill("a")
    #expect(script.primary == "c")
  }

  @Test("the old primary stays a backup when it recovers")
  func noFailback() throws {
    var script = try ready()
    script.kill("a")
    script.revive("a")
    script.wait(.seconds(3600))
    #expect(script.primary == "b")
    #expect(script.standing("a") == .demoted)
    #expect(script.snapshot.state == .failedOver)
    #expect(script.snapshot.members[0].reason == "eligible, backup")
  }

  @Test("with automatic failback it takes over again, after having been eligible for that long without a break")
  func automaticFailback() throws {
    var script = try ready(failback: .automatic(after: .seconds(60)))
    script.kill("a")
    script.wait(.seconds(100))
    script.revive("a")
    #expect(script.wait(.seconds(59)) == [])
    script.kill("a")
    script.revive("a")
    #expect(script.wait(.seconds(59)) == [])
    #expect(script.wait(.seconds(1)) == [.routes(["a"]), .record(.failback, "a")])
    #expect(script.decisions.last?.reason == .preferredReady(since: .seconds(60)))
    #expect(script.snapshot.state == .serving)
  }

  @Test("two automatic changes are at least minimum_interval apart; until then connections wait")
  func minimumInterval() throws {
    var script = try ready()
    script.kill("a")
    script.revive("a")
    script.wait(.seconds(4))
    #expect(script.kill("b").contains(.record(.holdBegan, "b")))
    #expect(script.serving(.primary) == [])
    #expect(script.wait(.milliseconds(5999)) == [])
    #expect(script.wait(.milliseconds(1)) == [.routes(["a"]), .record(.failover, "a"), .record(.holdEnded, "a")])
  }

  @Test("the primary that recovers during the hold goes on serving")
  func recoversDuringHold() throws {
    var script = try ready()
    script.kill("a")
    script.kill("b")
    #expect(script.revive("b") == [.routes(["b"]), .record(.healthChanged, "b"), .record(.holdEnded, "b")])
    script.wait(.seconds(60))
    #expect(script.primary == "b")
  }

  @Test("everybody is dead: hold, and the first to recover serves")
  func allDead() throws {
    var script = try ready()
    for id: BackendID in ["c", "b", "a"] { script.kill(id) }
    #expect(script.snapshot.state == .holding)
    #expect(script.primary == "a")
    script.wait(.seconds(60))
    #expect(script.revive("c").contains(.record(.failover, "c")))
    #expect(script.serving(.primary) == ["c"])
  }

  @Test("a member of weight 0 takes over only when nobody else can")
  func weightless() throws {
    var specification = GroupSpecification.fixed("a", "b", "c")
    specification.members[1].weight = 0
    var script = try Script(specification)
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    script.kill("a")
    #expect(script.primary == "c")
    script.wait(.seconds(60))
    script.kill("c")
    #expect(script.primary == "b")
  }

  @Test("a down member answers differently: its sessions fare accordingly")
  func endsOfSessions() throws {
    let ends: [(ProbeFailure.Kind, Standing)] = [
      (.refused, .dead), (.timedOut, .dead), (.reset, .dead), (.closed, .dead), (.unreachable, .dead), (.protocolError, .dead),
      (.badResponse, .demoted), (.authentication, .idle),
    ]
    for (kind, end) in ends {
      var script = try Script(.fixed("a"))
      script.pass("a")
      script.kill("a", kind)
      #expect(script.standing("a") == end, "\(kind)")
    }
  }

  @Test("regression: sessions do not stay on an old primary whose probes are refused a login")
  func oldPrimaryLosesItsSessions() throws {
    var script = try ready()
    script.kill("a", .authentication)
    #expect(script.primary == "b")
    #expect(script.standing("a") == .demoted)
    #expect(script.standing("a", .any) == .idle)
  }
}
