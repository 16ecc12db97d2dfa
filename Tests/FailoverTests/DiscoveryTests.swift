import Failover
import Model
import Testing

@Suite("What DNS says")
struct DiscoveryTests {
  static let a = DomainName.primaryDB.at("10.0.0.1")
  static let b = DomainName.replicaDB.at("10.0.0.2")

  /// `a` under the primary's name leads, `b` under the replica's name stands by.
  func ready(failback: GroupSpecification.Failback = .manual) throws -> Script {
    var script = try Script(.named(failback: failback))
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.pass(Self.a)
    script.pass(Self.b)
    return script
  }

  @Test("a new address is a new member, to be probed, and one record")
  func memberAdded() throws {
    var script = try Script(.named())
    #expect(
      script.resolve(.primaryDB, to: "10.0.0.1") == [.routes([]), .plan([Self.a]), .record(.memberAdded, Self.a)])
    #expect(script.resolve(.primaryDB, to: "10.0.0.1") == [])
  }

  @Test("IPv6 addresses make members too")
  func ipv6() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "::1")
    #expect(script.members == ["primary-db.example.com:[::1]:5432"])
  }

  @Test("members of one name are in the order of their addresses, not of their text")
  func orderOfAddresses() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.10", "10.0.0.9", "::1")
    #expect(script.members == ["10.0.0.9", "10.0.0.10", "[::1]"].map { DomainName.primaryDB.at($0) })
  }

  @Test("a name nobody asked for is ignored")
  func foreignName() throws {
    var script = try ready()
    #expect(script.resolve("other.example.com", to: "10.0.0.9") == [])
  }

  @Test("a failed lookup removes nobody, ever", arguments: DNSFailure.allCases)
  func failureRemovesNobody(failure: DNSFailure) throws {
    var script = try ready()
    for _ in 1...100 {
      #expect(script.lookUpFails(.primaryDB, failure) == [])
      #expect(script.wait(.seconds(60)) == [])
    }
    #expect(script.serving(.primary) == [Self.a])
  }

  @Test("an authoritative empty answer removes, but only after the hold time")
  func emptyRemovesLate() throws {
    var script = try ready()
    #expect(script.empty(.primaryDB) == [])
    #expect(script.wait(.milliseconds(9999)) == [])
    #expect(script.serving(.primary) == [Self.a])
    #expect(
      script.wait(.milliseconds(1)) == [
        .routes([Self.b]), .plan([Self.b]), .record(.memberRemoved, nil), .record(.failover, Self.b),
      ])
    #expect(script.changes.last?.reason == .primaryRemoved)
  }

  @Test("an absent member whose probes fail too goes at once")
  func absentAndDown() throws {
    var script = try ready()
    script.empty(.primaryDB)
    script.kill(Self.a)
    #expect(script.members == [Self.b])
    #expect(script.primary == Self.b)
  }

  @Test("who is named is preferred to who is absent")
  func namedFirst() throws {
    var script = try ready()
    let c = DomainName.replicaDB.at("10.0.0.3")
    script.resolve(.replicaDB, to: "10.0.0.2", "10.0.0.3")
    script.pass(c)
    script.resolve(.replicaDB, to: "10.0.0.3")
    script.kill(Self.a)
    #expect(script.primary == c)
  }

  @Test("a member that is named again in time was never away")
  func comesBack() throws {
    var script = try ready()
    script.empty(.primaryDB)
    script.wait(.seconds(9))
    #expect(script.resolve(.primaryDB, to: "10.0.0.1") == [])
    script.wait(.seconds(60))
    #expect(script.primary == Self.a)
    #expect(script.members.count == 2)
  }

  @Test("a failed lookup does not stop the clock of an absent member")
  func failureIsNoNaming() throws {
    var script = try ready()
    script.empty(.primaryDB)
    script.wait(.seconds(5))
    script.lookUpFails(.primaryDB)
    script.wait(.seconds(5))
    #expect(script.members == [Self.b])
  }

  @Test("one address under two names is one member")
  func twoNames() throws {
    var script = try Script(.named())
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.members == [DomainName.replicaDB.at("10.0.0.1"), Self.b])
    #expect(script.state.members.map(\.designated) == [true, false])
    script.empty(.replicaDB)
    #expect(script.snapshot.members[0].discovered == .named([.primaryDB]))
    #expect(script.violations == [])
  }

  @Test("a member that changes names takes its place in the order of preference")
  func reordered() throws {
    var script = try Script(.named())
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    let (one, two) = (DomainName.replicaDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    script.resolve(.primaryDB, to: "10.0.0.2")
    #expect(script.members == [two, one])
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.members == [one, two])
  }

  @Test("each name may ask for its own check: who changes names is probed accordingly")
  func checkOfTheName() throws {
    var specification = GroupSpecification.named()
    specification.members[1].check.interval = .seconds(7)
    var script = try Script(specification)
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.resolve(.replicaDB, to: "10.0.0.1") == [])
    let told = script.empty(.primaryDB)
    #expect(told.contains(.plan([Self.a])))
    #expect(script.state.members[0].check.interval == .seconds(7))
  }

  @Test("regression: one address configured twice is one member, and designated if either entry says so")
  func configuredTwice() throws {
    var specification = GroupSpecification.fixed("a", "b", "c", primary: "c")
    specification.members[2].origin = .fixed("c", .ip(.v4(0x0a00_0001), port: 5432))
    var script = try Script(specification)
    #expect(script.members == ["a", "b"])
    script.pass("b")
    script.pass("a")
    #expect(script.primary == "a")
  }

  @Test("regression: a discovered address under an id that is taken does not trap")
  func idTaken() throws {
    var specification = GroupSpecification.named()
    specification.members.append(
      MemberSource(origin: .fixed(Self.a, .ip(.v4(0x7f00_0001), port: 9)), proto: .tcp, check: .tcp))
    var script = try Script(specification)
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.primaryDB, to: "10.0.0.1", "10.0.0.3")
    #expect(script.members == [DomainName.primaryDB.at("10.0.0.3"), Self.a])
    #expect(script.kinds.count { $0 == .memberAdded } == 1)
  }

  @Test("the whole set may be replaced in one answer")
  func wholeSetReplaced() throws {
    var script = try ready()
    script.resolve(.primaryDB, to: "10.0.1.1", "10.0.1.2")
    #expect(script.serving(.primary) == [Self.a])
    script.pass(DomainName.primaryDB.at("10.0.1.1"))
    script.wait(.seconds(10))
    #expect(script.primary == DomainName.primaryDB.at("10.0.1.1"))
    #expect(!script.members.contains(Self.a))
  }

  // MARK: Moving the designation

  @Test("DNS takes the primary's name from the leader and gives it to another: the leadership follows")
  func designationMoves() throws {
    var script = try ready()
    script.resolve(.replicaDB, to: "10.0.0.1")
    #expect(script.primary == Self.a)
    script.resolve(.primaryDB, to: "10.0.0.2")
    #expect(script.primary == Self.b)
    #expect(script.changes.last?.reason == .designationMoved)
    #expect(script.standing(Self.a) == .demoted)
  }

  @Test("it follows only once the new one is eligible")
  func designationMovesToTheUnready() throws {
    var script = try ready()
    script.kill(Self.b)
    script.resolve(.primaryDB, to: "10.0.0.2")
    script.resolve(.replicaDB, to: "10.0.0.1")
    #expect(script.primary == Self.a)
    script.revive(Self.b)
    #expect(script.primary == Self.b)
  }

  @Test("a failover in between settles it: from then on the new name is a recovery like any other")
  func designationMovesAndLeaderDies() throws {
    var script = try ready()
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.resolve(.primaryDB, to: "10.0.0.3")
    script.kill(Self.a)
    #expect(script.primary == Self.b)
    script.wait(.seconds(10))
    script.pass(DomainName.primaryDB.at("10.0.0.3"))
    script.wait(.seconds(60))
    #expect(script.primary == Self.b)
  }

  @Test("it waits for the minimum interval")
  func designationMovesTooOften() throws {
    var script = try ready()
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.resolve(.primaryDB, to: "10.0.0.2")
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.primary == Self.b)
    script.wait(.seconds(10))
    #expect(script.primary == Self.a)
    #expect(script.changes.count == 3)
  }

  @Test("it does not overrule a person")
  func designationMovesAgainstAnOperator() throws {
    var script = try ready()
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    try script.choose(Self.a)
    script.resolve(.primaryDB, to: "10.0.0.2")
    script.wait(.seconds(60))
    #expect(script.primary == Self.a)
  }

  @Test("a recovery is no instruction: the failed-over group stays where it is")
  func recoveryIsNoInstruction() throws {
    var script = try ready()
    script.kill(Self.a)
    script.revive(Self.a)
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.wait(.seconds(60))
    #expect(script.primary == Self.b)
  }

  @Test("the first failure in a row of a member that was up asks for an early lookup, and so do its death and a hold")
  func earlyLookUps() throws {
    var script = try ready()
    #expect(script.fail(Self.b, .timedOut) == [.lookUp(.replicaDB)])
    #expect(script.fail(Self.b, .local) == [])
    #expect(script.fail(Self.b, .timedOut).contains(.lookUp(.replicaDB)))
    #expect(script.fail(Self.b, .timedOut) == [])
    script.fail(Self.a)
    #expect(Set(script.fail(Self.a)).isSuperset(of: [.lookUp(.primaryDB), .lookUp(.replicaDB)]))
  }

  @Test("so does the first failed connection of a client; a connection that merely ends does not")
  func earlyLookUpsForClients() throws {
    var script = try ready()
    #expect(script.signal(Self.a, .closed) == [.probeNow(Self.a)])
    script.wait(.seconds(1))
    #expect(script.signal(Self.a, .connectRefused) == [.probeNow(Self.a), .lookUp(.primaryDB)])
    script.wait(.seconds(1))
    #expect(script.signal(Self.a, .connectRefused) == [.probeNow(Self.a)])
  }
}
