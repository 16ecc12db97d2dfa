import Failover
import Model
import Testing

@Suite("Drained by an operator, added by an operator")
struct DrainTests {
  func ready(mode: GroupMode = .normal) throws -> Script {
    var script = try Script(.fixed("a", "b", mode: mode, primary: mode == .normal ? nil : "a"))
    script.pass("a")
    script.pass("b")
    return script
  }

  @Test("drained: nobody new, its sessions have their time, and the reason says who")
  func drain() throws {
    var script = try ready()
    #expect(try script.ask { try $0.drain("a", now: $1) } == [.routes(["b"]), .record(.drained, "a")])
    #expect(script.standing("a", .any) == .drain)
    #expect(script.reason("a") == "drained by an operator")
    #expect(try script.ask { try $0.drain("a", now: $1) } == [])
    #expect(script.state.drainedByOperator == ["a"])
    #expect(script.violations == [])
    #expect(try script.ask { try $0.undrain("a", now: $1) } == [.routes(["a", "b"]), .record(.undrained, "a")])
    #expect(try script.ask { try $0.undrain("a", now: $1) } == [])
    #expect(script.state.drainedByOperator == [])
  }

  @Test("a drained primary is replaced at once")
  func drainPrimary() throws {
    var script = try ready(mode: .activePassive)
    try script.ask { try $0.drain("a", now: $1) }
    #expect(script.primary == "b")
    #expect(script.changes.last?.reason == .primaryOrderedOut(byWindow: false))
    try script.ask { try $0.undrain("a", now: $1) }
    #expect(script.primary == "b")
  }

  @Test("whoever drains the primary asks for another one: no distance is kept, and it does not count as flapping")
  func drainSoonAfterAFailover() throws {
    var script = try ready(mode: .activePassive)
    script.fail("a")
    script.fail("a")
    #expect(script.primary == "b")
    script.pass("a")
    script.pass("a")
    try script.ask { try $0.drain("b", now: $1) }
    #expect(script.primary == "a")
    #expect(script.state.snapshot(at: script.now).recentFailovers == 1)
  }

  @Test("who is in no group is refused")
  func unknown() throws {
    var script = try ready()
    #expect(throws: CommandError.unknownBackend("z")) { try script.ask { try $0.drain("z", now: $1) } }
    #expect(throws: CommandError.unknownBackend("z")) { try script.ask { try $0.undrain("z", now: $1) } }
  }

  @Test("all groups that have the backend follow")
  func allGroups() throws {
    var script = try ready()
    var other = GroupSpecification.fixed("b", "c", mode: .normal, primary: nil)
    other.name = "other"
    try script.ask { try $0.createGroup(other, now: $1) }
    try script.ask { try $0.drain("b", now: $1) }
    #expect(script.decisions.suffix(2).map(\.group) == ["g", "other"])
    #expect(script.engine["other"]?.drainedByOperator == ["b"])
  }

  @Test("the order outlives the absence of its backend")
  func comesBack() throws {
    let a = DomainName.replicaDB.at("10.0.0.1")
    var script = try Script(.named(mode: .normal))
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.pass(a)
    try script.ask { try $0.drain(a, now: $1) }
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.wait(.seconds(60))
    #expect(script.members.count == 1)
    script.resolve(.replicaDB, to: "10.0.0.1", "10.0.0.2")
    script.pass(a)
    #expect(script.reason(a) == "drained by an operator")
    #expect(script.violations == [])
  }

  // MARK: Added

  static func fixed(_ id: BackendID, _ address: UInt32) -> MemberSource {
    MemberSource(origin: .fixed(id, .ip(.v4(address), port: 5432)), proto: .tcp, check: .tcp)
  }

  @Test("an added member stays when the configuration is read again, and goes when it is taken out")
  func overlay() throws {
    let specification = GroupSpecification.fixed("a", "b", mode: .normal, primary: nil)
    var script = Script(described: specification)
    let told = try script.ask { try $0.addMember(Self.fixed("n", 0x0a00_0009), to: "g", now: $1) }
    #expect(told.contains(.plan(["a", "b", "n"])))
    script.pass("n")
    #expect(script.serving(.any) == ["n"])
    #expect(script.describe(specification) == [])
    var changed = specification
    changed.members.removeLast()
    script.describe(changed, leaving: .atOnce)
    #expect(script.members == ["a", "n"])
    #expect(script.serving(.any) == ["n"])
    try script.ask { try $0.removeMember("n", from: "g", now: $1) }
    #expect(script.members == ["a"])
    #expect(script.describe(changed) == [])
    #expect(script.violations == [])
  }

  @Test("an added name is looked up, and its members go with it")
  func overlayDomain() throws {
    var script = Script(described: .fixed("a", mode: .normal, primary: nil))
    let source = MemberSource(origin: .domain(.replicaDB, port: 5432), proto: .tcp, check: .tcp)
    #expect(try script.ask { try $0.addMember(source, to: "g", now: $1) }.contains(.lookUp(.replicaDB)))
    script.resolve(.replicaDB, to: "10.0.0.7", "10.0.0.8")
    #expect(script.members.count == 3)
    #expect(throws: CommandError.memberIsDescribed(DomainName.replicaDB.at("10.0.0.7"), of: "g")) {
      try script.ask { try $0.removeMember(DomainName.replicaDB.at("10.0.0.7"), from: "g", now: $1) }
    }
    try script.ask { try $0.removeMember("replica-db.example.com", from: "g", now: $1) }
    #expect(script.members == ["a"])
    #expect(script.resolve(.replicaDB, to: "10.0.0.7") == [])
    #expect(script.violations == [])
  }

  @Test("what is there already, or described, or nowhere, is refused")
  func refused() throws {
    var script = Script(described: .fixed("a", mode: .normal, primary: nil))
    #expect(throws: CommandError.memberExists("a", of: "g")) {
      try script.ask { try $0.addMember(Self.fixed("a", 9), to: "g", now: $1) }
    }
    #expect(throws: CommandError.memberExists("a", of: "g")) {
      try script.ask { try $0.addMember(Self.fixed("n", 0x0a00_0001), to: "g", now: $1) }
    }
    #expect(throws: CommandError.memberIsDescribed("a", of: "g")) {
      try script.ask { try $0.removeMember("a", from: "g", now: $1) }
    }
    #expect(throws: CommandError.notAMember("z", of: "g")) { try script.ask { try $0.removeMember("z", from: "g", now: $1) } }
    #expect(throws: CommandError.unknownGroup("h")) { try script.ask { try $0.removeMember("z", from: "h", now: $1) } }
  }

  @Test("from a group that was made by request, whoever it was made with can be taken out")
  func requestedGroup() throws {
    var script = try ready()
    try script.ask { try $0.removeMember("a", from: "g", now: $1) }
    #expect(script.members == ["b"])
    try script.ask { try $0.addMember(Self.fixed("n", 9), to: "g", now: $1) }
    #expect(script.members == ["b", "n"])
  }
}
