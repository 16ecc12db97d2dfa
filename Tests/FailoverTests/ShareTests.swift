import Failover
import Model
import Testing

@Suite("Shares: slow start, zones, lag")
struct ShareTests {
  @Test("a member that comes up again grows in ten steps, as time passes")
  func slowStart() throws {
    var specification = GroupSpecification.fixed("a", "b", mode: .normal, primary: nil)
    specification.slowStart = .seconds(10)
    var script = try Script(specification)
    script.pass("a")
    script.pass("b")
    #expect(script.share("a") == 100 && script.share("b") == 100)
    script.kill("b")
    script.revive("b")
    var shares: [UInt8] = []
    for _ in 1...12 {
      shares.append(script.share("b") ?? 0)
      script.wait(.milliseconds(1001))
    }
    #expect(shares == [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100, 100])
    #expect(script.engine.nextDeadline == nil)
  }

  @Test("a member that is added later starts slowly, those of the group's start do not")
  func slowNewcomer() throws {
    var specification = GroupSpecification.named(mode: .normal)
    specification.slowStart = .seconds(10)
    var script = try Script(specification)
    script.resolve(.replicaDB, to: "10.0.0.1")
    script.pass(DomainName.replicaDB.at("10.0.0.1"))
    #expect(script.share(DomainName.replicaDB.at("10.0.0.1")) == 100)
    script.wait(.seconds(60))
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    #expect(script.share(DomainName.replicaDB.at("10.0.0.2")) == 10)
  }

  /// `a`, `b`, `c` here, `x`, `y`, `z` elsewhere.
  func zoned(_ mode: GroupMode = .normal) throws -> Script {
    var specification = GroupSpecification.fixed("a", "b", "c", "x", "y", "z", mode: mode, primary: nil)
    specification.zoneAffinity = true
    for position in specification.members.indices { specification.members[position].zone = position < 3 ? "here" : "there" }
    var script = try Script(specification, zone: "here")
    for id: BackendID in ["z", "y", "x", "c", "b", "a"] { script.pass(id) }
    return script
  }

  /// How much of a hundred connections stay in this zone.
  func local(_ script: Script) -> Double {
    let weights = ["a", "b", "c", "x", "y", "z"].map { id -> Double in
      let serves = script.serving(.any).contains(BackendID(id))
      return serves ? Double(script.share(BackendID(id)) ?? 0) : 0
    }
    return 100 * weights[..<3].reduce(0, +) / max(1, weights.reduce(0, +))
  }

  @Test("a zone takes all while it is healthy, and spills over in proportion when it is not")
  func spillOver() throws {
    var script = try zoned()
    #expect(local(script) == 100)
    script.kill("a")
    // Two thirds are healthy: 93 % stay.
    #expect(abs(local(script) - 93) < 1.5)
    script.kill("b")
    #expect(abs(local(script) - 46) < 1.5)
    script.kill("c")
    #expect(local(script) == 0)
    #expect(script.share("x") == 100)
    for id: BackendID in ["a", "b", "c"] { script.revive(id) }
    #expect(local(script) == 100)
  }

  @Test("a member here that takes nothing by its own account does not keep the others from taking all")
  func starved() throws {
    var specification = GroupSpecification.fixed("a", "x", mode: .normal, primary: nil)
    specification.zoneAffinity = true
    specification.predictive = Predictive(degradeBelow: 80, ejectBelow: 40)
    specification.members[0].zone = "here"
    specification.members[1].zone = "there"
    var script = try Script(specification, zone: "here")
    script.pass("a")
    script.pass("x")
    // A person's choice is not ejected, however badly it works.
    try script.ask { try $0.setPrimary(of: Script.group, to: "a", now: $1) }
    for _ in 1...20 { script.pass("a") }
    for _ in 1...20 { script.pass("a", latency: .milliseconds(500)) }
    #expect(script.serving(.any) == ["a", "x"])
    #expect(script.share("a") == 0 && script.share("x") == 100)
  }

  @Test("a zone whose others are all down takes all")
  func nobodyElsewhere() throws {
    var script = try zoned()
    for id: BackendID in ["x", "y", "z", "a"] { script.kill(id) }
    #expect(local(script) == 100)
    #expect(script.share("b") == 100)
  }

  @Test("a new primary is sought in this zone first")
  func election() throws {
    var specification = GroupSpecification.fixed("a", "x", "b")
    specification.zoneAffinity = true
    specification.members[0].zone = "here"
    specification.members[1].zone = "there"
    specification.members[2].zone = "here"
    var script = try Script(specification, zone: "here")
    for id: BackendID in ["a", "x", "b"] { script.pass(id) }
    script.kill("a")
    #expect(script.primary == "b")
  }

  func replicas(_ maximum: ReplicaLag) throws -> Script {
    let check = HealthCheck(kind: .postgres(PostgresCheck(depth: .role, maximumLag: maximum)))
    var script = try Script(.fixed("a", "b", "c", check: check))
    script.pass("a", role: .primary)
    script.pass("b", role: .replica)
    script.pass("c", role: .replica)
    return script
  }

  @Test("a replica that is too far behind serves no reads while another is not, and says so")
  func lag() throws {
    var script = try replicas(.time(.seconds(10)))
    #expect(script.serving(.replica) == ["b", "c"])
    #expect(script.reason("b") == "healthy, not eligible: replica")
    script.pass("b", role: .replica, replication: Replication(lagTime: .seconds(42)))
    #expect(script.serving(.replica) == ["c"])
    #expect(script.standing("b", .replica) == .idle)
    #expect(script.reason("b") == "healthy, not eligible: replica, 42s behind (maximum 10s)")
    script.pass("c", role: .replica, replication: Replication(lagTime: .seconds(11)))
    #expect(script.serving(.replica) == ["b", "c"])
    script.pass("b", role: .replica, replication: Replication(lagTime: .seconds(10)))
    #expect(script.serving(.replica) == ["b"])
  }

  @Test("lag in bytes counts in bytes")
  func lagInBytes() throws {
    var script = try replicas(.bytes(1000))
    script.pass("b", role: .replica, replication: Replication(lagTime: .seconds(42), lagBytes: 1000))
    #expect(script.serving(.replica) == ["b", "c"])
    script.pass("b", role: .replica, replication: Replication(lagBytes: 1001))
    #expect(script.serving(.replica) == ["c"])
    #expect(script.reason("b") == "healthy, not eligible: replica, 1001 bytes behind (maximum 1000)")
  }
}
