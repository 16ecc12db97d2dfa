import Failover
import Model
import Testing

/// Groups whose members testify: nobody gets writes on a name's word alone.
@Suite("Role checks")
struct RoleTests {
  /// `a` leads and has proved it; `b` is its standby.
  func ready(minimumInterval: Duration = .seconds(10)) throws -> Script {
    var script = try Script(.fixed("a", "b", check: .role, minimumInterval: minimumInterval))
    script.pass("a", role: .primary)
    script.pass("b", role: .replica)
    return script
  }

  @Test("the designated primary is not served before it has proved its role")
  func designationIsNotEnough() throws {
    var script = try Script(.fixed("a", "b", check: .role))
    script.pass("a")
    #expect(script.serving(.primary) == [])
    #expect(script.pass("a", role: .primary) == [.routes(["a"]), .record(.roleChanged, "a"), .record(.elected, "a")])
  }

  @Test("the designated primary answers but has not said its role: the election still waits for it")
  func designatedIsSilent() throws {
    var script = try Script(.fixed("a", "b", check: .role))
    script.pass("a")
    script.pass("b", role: .primary)
    #expect(script.primary == nil)
    script.pass("a", role: .primary)
    #expect(script.primary == "a")
  }

  @Test("the designated primary turns out to be a replica: the proved one is elected at once")
  func designatedIsReplica() throws {
    var script = try Script(.fixed("a", "b", check: .role))
    script.pass("b", role: .primary)
    #expect(script.primary == nil)
    script.pass("a", role: .replica)
    #expect(script.primary == "b")
    #expect(script.serving(.replica) == ["a"])
  }

  @Test("a healthy replica never takes over: the group holds")
  func replicaDoesNotTakeOver() throws {
    var script = try ready()
    #expect(script.kill("a").contains(.record(.holdBegan, "a")))
    for _ in 1...600 {
      script.wait(.milliseconds(300))
      script.pass("b", role: .replica)
    }
    #expect(script.primary == "a")
    #expect(script.serving(.primary) == [])
    #expect(script.serving(.replica) == ["b"])
    #expect(script.snapshot.members[1].reason == "healthy, not eligible: replica")
  }

  @Test("its promotion is followed by itself")
  func promotion() throws {
    var script = try ready()
    script.kill("a")
    script.wait(.milliseconds(300))
    #expect(
      script.pass("b", role: .primary) == [
        .routes(["b"]), .record(.roleChanged, "b"), .record(.failover, "b"), .record(.holdEnded, "b"),
      ])
    #expect(script.standing("a") == .dead)
    #expect(script.changes.last?.evidence == ["a: down (refused: scripted), role primary", "b: up, role primary"])
  }

  @Test("a planned switch-over: the primary says replica, then the replica says primary")
  func switchOver() throws {
    var script = try ready()
    #expect(
      script.pass("a", role: .replica) == [.routes([]), .record(.roleChanged, "a"), .record(.holdBegan, "a")])
    #expect(script.standing("a") == .demoted)
    script.pass("b", role: .primary)
    #expect(script.primary == "b")
    #expect(script.changes.last?.reason == .primaryDemoted)
  }

  @Test("a proof that was not repeated in time is no proof: nobody new, but nobody is thrown out")
  func expiry() throws {
    var script = try ready()
    #expect(script.wait(.milliseconds(900)) == [])
    #expect(script.wait(.milliseconds(1)).contains(.record(.holdBegan, "a")))
    #expect(script.standing("a") == .idle)
    #expect(script.pass("a", role: .primary).contains(.routes(["a"])))
    #expect(script.primary == "a")
    #expect(script.changes.count == 1)
  }

  @Test("a probe that times out proves nothing")
  func timeoutsProveNothing() throws {
    var script = try ready()
    script.fail("a", .timedOut)
    script.wait(.milliseconds(901))
    #expect(script.serving(.primary) == [])
  }

  @Test("a primary that went silent is followed by the one that proves itself")
  func unprovedIsReplaced() throws {
    var script = try ready()
    script.wait(.milliseconds(901))
    script.pass("b", role: .primary)
    #expect(script.primary == "b")
    #expect(script.changes.last?.reason == .roleUnproved)
    #expect(script.standing("a") == .demoted)
  }

  @Test("two writable: the current one is kept, one alarm is raised, and they never alternate")
  func twoWritable() throws {
    var script = try ready(minimumInterval: .zero)
    #expect(script.pass("b", role: .primary) == [.routes(["a"]), .record(.roleChanged, "b"), .record(.twoWritable, "a")])
    for _ in 1...100 {
      script.wait(.milliseconds(300))
      script.pass("b", role: .primary)
      script.pass("a", role: .primary)
    }
    #expect(script.primary == "a")
    #expect(script.kinds.count { $0 == .twoWritable } == 1)
    #expect(script.changes.count == 1)
  }

  @Test("a second conflict after the first was resolved is a second alarm")
  func secondAlarm() throws {
    var script = try ready()
    script.pass("b", role: .primary)
    script.pass("b", role: .replica)
    script.pass("b", role: .primary)
    #expect(script.kinds.count { $0 == .twoWritable } == 2)
  }

  @Test("regression: a new primary that has a rival is an alarm at once, not at the next fact")
  func alarmAtElection() throws {
    var script = try Script(.fixed("a", "b", check: .role))
    script.pass("b", role: .primary)
    #expect(script.pass("a", role: .primary).suffix(2) == [.record(.elected, "a"), .record(.twoWritable, "a")])
    #expect(script.pass("a", role: .primary) == [])
  }

  @Test("while the group holds there is no current one to keep: the alarm comes with the next primary, once")
  func alarmAfterHold() throws {
    var script = try Script(.fixed("a", "b", "c", check: .role))
    script.pass("a", role: .primary)
    script.kill("a")
    script.pass("b", role: .primary)
    script.kill("b")
    for _ in 1...32 {
      script.pass("c", role: .primary)
      script.revive("a", role: .primary)
      #expect(!script.kinds.contains(.twoWritable))
      script.wait(.milliseconds(300))
    }
    for _ in 1...10 {
      script.pass("c", role: .primary)
      script.pass("a", role: .primary)
      script.wait(.milliseconds(300))
    }
    #expect(script.primary == "a")
    #expect(script.kinds.count { $0 == .twoWritable } == 1)
  }

  @Test("the old primary comes back writable, which it must not: the new one is kept")
  func oldPrimaryComesBackWritable() throws {
    var script = try ready()
    script.kill("a")
    script.wait(.milliseconds(300))
    script.pass("b", role: .primary)
    script.wait(.milliseconds(300))
    script.pass("b", role: .primary)
    script.revive("a", role: .primary)
    #expect(script.primary == "b")
    #expect(script.decisions.last?.kind == .twoWritable)
    #expect(script.decisions.last?.reason == .bothWritable(["a", "b"]))
  }

  @Test("a name cannot move leadership where members testify")
  func namesDoNotOverrule() throws {
    var script = try Script(.named(check: .role))
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    let (a, b) = (DomainName.primaryDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    script.pass(a, role: .primary)
    script.pass(b, role: .primary)
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.resolve(.primaryDB, to: "10.0.0.2")
    script.pass(b, role: .primary)
    #expect(script.primary == a)
  }
}
