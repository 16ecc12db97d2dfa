import Failover
import Model
import Testing

@Suite("Drained, in maintenance")
struct OutOfServiceTests {
  static let a = DomainName.service.at("10.0.0.1")
  static let b = DomainName.service.at("10.0.0.2")

  func ready(mode: GroupMode, check: HealthCheck = .tcp) throws -> Script {
    var script = try Script(
      GroupSpecification(name: Script.group, mode: mode, members: [.service(.service, check: check)], drainTimeout: .seconds(30)))
    script.resolve(.service, services: [.service("10.0.0.1"), .service("10.0.0.2")])
    script.pass(Self.a)
    script.pass(Self.b)
    return script
  }

  @Test("drained: no new connections at once, its sessions go on, and it leaves when their time is over")
  func drained() throws {
    var script = try ready(mode: .normal)
    #expect(script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true) == [.routes([Self.b])])
    #expect(script.standing(Self.a, .any) == .drain)
    #expect(script.reason(Self.a) == "drained by DNS")
    #expect(script.snapshot.members[0].administrative == .draining)
    #expect(script.snapshot.members[0].discovered == .drained(since: .zero))
    #expect(script.wait(.milliseconds(39_999)) == [])
    #expect(script.wait(.milliseconds(1)) == [.routes([Self.b]), .plan([Self.b]), .record(.memberRemoved, nil)])
    #expect(script.decisions.last?.reason == .drainedByDNS)
  }

  @Test("drained and down: it leaves at once")
  func drainedAndDown() throws {
    var script = try ready(mode: .normal)
    script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true)
    script.kill(Self.a)
    #expect(script.members == [Self.b])
  }

  @Test("drained and named again: in service again")
  func drainedAndBack() throws {
    var script = try ready(mode: .normal)
    script.resolve(.service, services: [], isDrained: true)
    #expect(script.serving(.any) == [])
    #expect(script.snapshot.state == .holding)
    script.wait(.seconds(30))
    script.resolve(.service, services: [.service("10.0.0.1"), .service("10.0.0.2")])
    #expect(script.serving(.any) == [Self.a, Self.b])
    script.wait(.seconds(60))
    #expect(script.members.count == 2)
  }

  @Test("an absent member is drained when the record that says so comes later")
  func drainedLater() throws {
    var script = try ready(mode: .normal)
    script.resolve(.service, services: [.service("10.0.0.2")])
    #expect(script.serving(.any) == [Self.a, Self.b])
    script.wait(.seconds(5))
    script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true)
    #expect(script.serving(.any) == [Self.b])
  }

  @Test("an answer without the record does not put a drained member back into service")
  func staysDrained() throws {
    var script = try ready(mode: .normal)
    script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true)
    script.resolve(.service, services: [.service("10.0.0.2")])
    #expect(script.serving(.any) == [Self.b])
  }

  @Test("who has another name is not drained")
  func otherName() throws {
    let other = MemberSource(origin: .domain(.replicaDB, port: 5432), proto: .postgres, check: .tcp)
    var script = try Script(
      GroupSpecification(name: Script.group, mode: .normal, members: [.service(.service), other]))
    script.resolve(.service, services: [.service("10.0.0.1")])
    script.resolve(.replicaDB, to: "10.0.0.1")
    script.pass(Self.a)
    script.resolve(.service, services: [], isDrained: true)
    #expect(script.serving(.any) == [Self.a])
  }

  @Test("a drained primary hands over at once")
  func drainedPrimary() throws {
    var script = try ready(mode: .activePassive)
    #expect(
      script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true)
        == [.routes([Self.b]), .record(.failover, Self.b)])
    #expect(script.changes.last?.reason == .primaryDrained(.draining))
    #expect(script.changes.last?.reason.label == "primary_drained")
    #expect(script.standing(Self.a) == .drain)
  }

  @Test("a drained primary whose place nobody can take holds: it gets no more connections")
  func nobodyElse() throws {
    var script = try ready(mode: .activePassive)
    script.kill(Self.b)
    script.resolve(.service, services: [.service("10.0.0.2")], isDrained: true)
    #expect(script.serving(.primary) == [])
    #expect(script.snapshot.state == .holding)
    #expect(script.primary == Self.a)
  }

  @Test("it, too, keeps the minimum interval")
  func interval() throws {
    var script = try ready(mode: .activePassive)
    script.kill(Self.a)
    script.revive(Self.a)
    script.resolve(.service, services: [.service("10.0.0.1")], isDrained: true)
    #expect(script.primary == Self.b)
    #expect(script.serving(.primary) == [])
    script.wait(.seconds(10))
    #expect(script.primary == Self.a)
  }

  // MARK: Maintenance

  func maintained(mode: GroupMode, force: Bool = false) throws -> Script {
    var specification = GroupSpecification.named(mode: mode)
    var script = Script(described: specification)
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.pass(DomainName.primaryDB.at("10.0.0.1"))
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    specification.members[0].maintenance = true
    script.describe(specification)
    return script
  }

  @Test(
    "maintenance: stays a member, takes nobody new, and comes back when DNS says so", arguments: [GroupMode.normal, .activePassive])
  func maintenance(mode: GroupMode) throws {
    var script = try maintained(mode: mode)
    let (a, b) = (DomainName.primaryDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    #expect(script.serving(mode == .normal ? .any : .primary) == [b])
    #expect(script.standing(a, .any) == .drain)
    #expect(script.reason(a) == "in maintenance")
    #expect(script.changes.last?.reason == .primaryDrained(.maintenance))
    script.kill(a)
    script.wait(.seconds(3600))
    #expect(script.members == [a, b])
    #expect(script.standing(a, .any) == .dead)
    script.revive(a)
    script.describe(.named(mode: mode))
    #expect(script.reason(a) == "eligible, backup")
    #expect(script.standing(a, .any) == .serve)
  }

  @Test("not even a person sends traffic to a member in maintenance; the choice waits for its end")
  func forced() throws {
    var script = try maintained(mode: .activePassive)
    let a = DomainName.primaryDB.at("10.0.0.1")
    #expect(throws: CommandError.notEligible(a, .maintenance)) { try script.choose(a) }
    try script.choose(a, force: true)
    #expect(script.serving(.primary) == [])
    #expect(script.violations == [])
    script.describe(.named())
    #expect(script.serving(.primary) == [a])
  }

  @Test("who leaves DNS during its maintenance does not come into service by that")
  func absent() throws {
    var script = try maintained(mode: .normal)
    script.empty(.primaryDB)
    #expect(script.serving(.any) == [DomainName.replicaDB.at("10.0.0.2")])
  }

  @Test("with everybody silent, failing open leaves out who is in maintenance")
  func failOpen() throws {
    var script = try maintained(mode: .normal)
    let (a, b) = (DomainName.primaryDB.at("10.0.0.1"), DomainName.replicaDB.at("10.0.0.2"))
    script.kill(b, .timedOut)
    #expect(script.serving(.any) == [b], "the one that is up is in maintenance")
    script.kill(a, .timedOut)
    #expect(script.serving(.any) == [b])
  }
}

@Suite("Which addresses a group may use")
struct AllowedRangesTests {
  func script() throws -> Script {
    var specification = GroupSpecification.named()
    specification.allowedRanges = [try #require(AddressRange("10.0.0.0/24"))]
    return try Script(specification)
  }

  @Test("an address outside is refused, recorded once per change, and counted")
  func refused() throws {
    var script = try script()
    #expect(script.resolve(.primaryDB, to: "10.0.0.1", "10.0.1.1").contains(.record(.addressRefused, nil)))
    #expect(script.members == [DomainName.primaryDB.at("10.0.0.1")])
    #expect(script.resolve(.primaryDB, to: "10.0.0.1", "10.0.1.1") == [])
    #expect(script.resolve(.primaryDB, to: "10.0.0.1", "10.0.1.1", "10.0.1.2") == [.record(.addressRefused, nil)])
    #expect(script.decisions.last?.reason.description == "not in the group's allowed ranges: 10.0.1.1, 10.0.1.2")
    #expect(script.snapshot.refusedAddresses == 2)
  }

  @Test("when all are refused, the answer changes nothing: not membership, and not what is waited for")
  func allRefused() throws {
    var script = try script()
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.pass(DomainName.primaryDB.at("10.0.0.1"))
    #expect(script.resolve(.primaryDB, to: "10.0.1.1") == [.record(.addressRefused, nil)])
    script.wait(.seconds(60))
    #expect(script.serving(.primary) == [DomainName.primaryDB.at("10.0.0.1")])
  }

  @Test("a record lists eight addresses at most")
  func bounded() {
    let addresses = (1...20).map { IPAddress.v4($0) }
    #expect(Reason.notAllowed(addresses).description.hasSuffix("0.0.0.8 and 12 more"))
  }
}
