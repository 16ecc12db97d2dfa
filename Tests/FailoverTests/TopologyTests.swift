import Failover
import Model
import Testing

/// Groups that configuration and DNS describe, and describe otherwise.
@Suite("Topology at run time")
struct TopologyTests {
  static let a = DomainName.primaryDB.at("10.0.0.1")
  static let b = DomainName.replicaDB.at("10.0.0.2")

  func ready(_ specification: GroupSpecification = .named()) -> Script {
    var script = Script(described: specification)
    script.resolve(.primaryDB, to: "10.0.0.1")
    script.resolve(.replicaDB, to: "10.0.0.2")
    script.pass(Self.a)
    script.pass(Self.b)
    return script
  }

  @Test("a new group asks for its names, which another group may have resolved long ago")
  func lookUps() {
    var script = ready()
    var other = GroupSpecification.named()
    other.name = "other"
    #expect(Set(script.describe(.named(), other)).isSuperset(of: [.lookUp(.primaryDB), .lookUp(.replicaDB)]))
    #expect(script.describe(.named(), other) == [])
    #expect(script.engine["other"]?.members.isEmpty == true)
    script.resolve(.primaryDB, to: "10.0.0.1")
    #expect(script.engine["other"]?.members.map(\.id) == [Self.a])
  }

  @Test("attributes change in place: no member is probed anew, and the leader leads on")
  func attributes() {
    var script = ready()
    var changed = GroupSpecification.named(minimumInterval: .seconds(1))
    changed.members[1].weight = 7
    changed.members[1].zone = "z"
    changed.drainTimeout = .seconds(5)
    #expect(script.describe(changed) == [.routes([Self.a]), .record(.groupChanged, Self.a)])
    #expect(script.decisions.last?.reason == .describedOtherwise(["members", "minimum_interval", "drain_timeout"]))
    #expect(script.snapshot.members[1].weight == 7)
    #expect(script.snapshot.members[1].zone == "z")
    #expect(script.state.members.map(\.health.isUp) == [true, true])
  }

  @Test("another check is another probe, and the verdict stays until it says otherwise")
  func check() {
    var script = ready()
    var changed = GroupSpecification.named()
    changed.members[0].check.interval = .seconds(3)
    #expect(script.describe(changed) == [.plan([Self.a, Self.b]), .record(.groupChanged, Self.a)])
    #expect(script.serving(.primary) == [Self.a])
  }

  @Test("the order of the configuration is the order of preference, at once")
  func reordered() {
    var script = ready()
    var changed = GroupSpecification.named()
    changed.members.reverse()
    #expect(script.describe(changed).contains(.record(.groupChanged, Self.a)))
    #expect(script.members == [Self.b, Self.a])
    #expect(script.primary == Self.a)
  }

  @Test("another source is marked as the primary: an instruction, even after a failover")
  func markMoves() {
    var script = ready()
    script.kill(Self.a)
    script.revive(Self.a)
    var changed = GroupSpecification.named()
    changed.members[0].isPrimary = false
    changed.members[1].isPrimary = true
    script.describe(changed)
    #expect(script.primary == Self.b)
    script.wait(.seconds(10))
    script.describe(.named())
    #expect(script.primary == Self.a)
    #expect(script.changes.last?.reason == .designationMoved)
  }

  @Test("a mark where there was none, or that moves past the leader, is an instruction as well")
  func markAppears() {
    var script = Script(described: .fixed("a", "b", "c", primary: nil))
    for id: BackendID in ["a", "b", "c"] { script.pass(id) }
    #expect(script.primary == "a")
    script.describe(.fixed("a", "b", "c", primary: "b"))
    #expect(script.primary == "b")
    script.wait(.seconds(10))
    script.kill("b")
    #expect(script.primary == "a")
    // Two quick changes: the interval is twice as long by now, whatever the reasons.
    script.wait(.seconds(20))
    script.describe(.fixed("a", "b", "c", primary: "c"))
    #expect(script.primary == "c")
    #expect(script.changes.last?.reason == .designationMoved)
  }

  @Test("a dropped source's members are absent, and go after the hold time")
  func dropped() {
    var script = ready()
    var changed = GroupSpecification.named()
    changed.members.removeLast()
    script.describe(changed)
    #expect(script.snapshot.members[1].discovered == .absent(since: .zero))
    script.wait(.seconds(10))
    #expect(script.members == [Self.a])
    #expect(script.decisions.last?.reason == .leftConfiguration)
  }

  @Test("a dropped source's members go at once where a person says so; members absent for another reason stay")
  func droppedAtOnce() {
    var script = ready()
    script.resolve(.primaryDB, to: "10.0.0.3")
    var changed = GroupSpecification.named()
    changed.members.removeLast()
    script.describe(changed, leaving: .atOnce)
    #expect(script.members == [Self.a, DomainName.primaryDB.at("10.0.0.3")])
  }

  @Test("a name that leads elsewhere by another record, or is filtered otherwise, is asked again")
  func askedAgain() {
    var script = ready()
    var changed = GroupSpecification.named()
    changed.members[0].record = .srv
    #expect(script.describe(changed).contains(.lookUp(.primaryDB)))
    changed.allowedRanges = [AddressRange("10.0.0.0/8")].compactMap { $0 }
    #expect(script.describe(changed).contains(.lookUp(.replicaDB)))
  }

  @Test("a configured backend that changes its address, or its id, is another one, at once")
  func fixedMoves() {
    var script = Script(described: .fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    var changed = GroupSpecification.fixed("a", "b")
    changed.members[1].origin = .fixed("b", .ip(.v4(9), port: 5432))
    script.describe(changed)
    #expect(script.state.members.map(\.address) == [.ip(.v4(0x0a00_0001), port: 5432), .ip(.v4(9), port: 5432)])
    changed.members[1].origin = .fixed("c", .ip(.v4(9), port: 5432))
    script.describe(changed)
    #expect(script.members == ["a", "c"])
    #expect(script.primary == "a")
  }

  // MARK: Modes

  @Test("normal to active-passive: one of those that serve leads, at once")
  func becomesActivePassive() {
    var script = Script(described: .fixed("a", "b", mode: .normal, primary: nil))
    script.pass("a")
    script.pass("b")
    script.wait(.seconds(1))
    script.describe(.fixed("a", "b", primary: "a"))
    #expect(script.serving(.primary) == ["a"])
    #expect(script.standing("b") == .demoted)
  }

  @Test("active-passive to normal: all serve, and there is a primary only where one is marked")
  func becomesNormal() {
    var script = Script(described: .fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    script.describe(.fixed("a", "b", mode: .normal))
    #expect(script.serving(.any) == ["a", "b"])
    #expect(script.primary == "a")
    script.describe(.fixed("a", "b"))
    script.describe(.fixed("a", "b", mode: .normal, primary: nil))
    #expect(script.primary == nil)
    #expect(script.serving(.primary) == ["a", "b"])
  }

  // MARK: Dissolving

  @Test("a group nobody describes any more serves on through the hold time, then goes with its last member")
  func dissolves() {
    var script = ready()
    #expect(script.describe() == [.record(.groupChanged, Self.a)])
    #expect(script.wait(.milliseconds(9999)) == [])
    #expect(script.serving(.primary) == [Self.a])
    #expect(
      script.wait(.milliseconds(1)) == [
        .gone, .plan([]), .record(.memberRemoved, nil), .record(.memberRemoved, nil), .record(.groupDeleted, nil),
      ])
    #expect(script.decisions.last?.reason == .leftConfiguration)
    #expect(!script.exists)
    #expect(script.engine.nextDeadline == nil)
    #expect(script.resolve(.primaryDB, to: "10.0.0.1") == [])
  }

  @Test("described again in time: it was never away, even while DNS fails")
  func returns() {
    var script = ready()
    script.describe()
    script.wait(.seconds(9))
    #expect(Set(script.describe(.named())).isSuperset(of: [.lookUp(.primaryDB), .lookUp(.replicaDB)]))
    script.lookUpFails(.primaryDB)
    script.wait(.seconds(60))
    #expect(script.members == [Self.a, Self.b])
    #expect(script.serving(.primary) == [Self.a])
    #expect(script.changes.count == 1)
  }

  @Test("while it dissolves, names bring nobody new")
  func nobodyNew() {
    var script = ready()
    script.describe()
    script.resolve(.primaryDB, to: "10.0.0.1", "10.0.0.7")
    #expect(script.members == [Self.a, Self.b])
  }

  @Test("dissolved at once; the others are untouched")
  func atOnce() {
    var script = ready()
    var other = GroupSpecification.named()
    other.name = "other"
    script.describe(.named(), other)
    #expect(script.describe(other, leaving: .atOnce) == [.gone, .plan([]), .record(.groupDeleted, nil)])
    #expect(script.engine.groups.map(\.name) == ["other"])
    #expect(script.violations == [])
  }

  @Test("a group with no members goes at once")
  func emptyGroup() {
    var script = Script(described: .named())
    #expect(script.describe().last == .record(.groupDeleted, nil))
    #expect(!script.exists)
  }

  @Test("groups of the API are not touched, also where a described group has their name")
  func api() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    #expect(script.describe(.named()) == [])
    #expect(script.describe(leaving: .atOnce) == [])
    #expect(script.members == ["a", "b"])
  }

  @Test("a part is described as the whole would be, and the rest is not looked at")
  func parts() {
    func group(_ name: GroupName, weight: Int = 1) -> GroupSpecification {
      var specification = GroupSpecification.fixed("a", "b")
      specification.name = name
      specification.members[1].weight = weight
      return specification
    }
    let steps: [[GroupSpecification]] = [
      [group("x"), group("y"), group("z")], [group("x"), group("y", weight: 5)], [group("z"), group("x")], [], [group("y")],
    ]
    for leaving in [Leaving.afterHold, .atOnce] {
      var (whole, parts) = (Engine(holdRemoved: .seconds(10)), Engine(holdRemoved: .seconds(10)))
      var before: [GroupSpecification] = []
      for (number, step) in steps.enumerated() {
        let now = Instant.zero + .seconds(number)
        let changed = step.filter { !before.contains($0) }
        let gone = Set(before.map(\.name)).subtracting(step.map(\.name))
        #expect(
          parts.handle(.groupsChanged(changed, gone: gone, leaving: leaving), now: now)
            == whole.handle(.groupsConfigured(step, leaving: leaving), now: now), "step \(number)")
        #expect(parts.table == whole.table)
        before = step
      }
    }
  }

  @Test("a slot that was left is taken again, and deadlines of the one that left do not count")
  func slots() {
    var engine = Engine(holdRemoved: .seconds(10))
    func group(_ name: GroupName) -> GroupSpecification {
      var specification = GroupSpecification.fixed("a")
      specification.name = name
      return specification
    }
    _ = engine.handle(.groupsConfigured([group("x"), group("y"), group("z")], leaving: .atOnce), now: .zero)
    _ = engine.handle(.groupsConfigured([group("z"), group("w")], leaving: .atOnce), now: .zero)
    #expect(Set(engine.groups.map(\.name)) == ["w", "z"])
    #expect(engine.table.groups.map(\.name) == engine.groups.map(\.name))
    #expect(engine.violations(at: .zero) == [])
    let effects = engine.handle(.deadlineReached, now: .zero + .seconds(10))
    let held = effects.compactMap {
      if case .record(let decision) = $0, decision.kind == .holdBegan { decision.group } else { nil }
    }
    #expect(held.sorted() == ["w", "z"])
  }
}

@Suite("What is remembered of an earlier run")
struct RememberedTests {
  @Test("serves as soon as its probes pass, although DNS is down, and says how old the answer is")
  func serves() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.1", age: .milliseconds(7_200_123))
    script.resolve(.replicaDB, to: "10.0.0.2", age: .seconds(60))
    script.lookUpFails(.primaryDB)
    script.lookUpFails(.replicaDB)
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    script.pass(DomainName.primaryDB.at("10.0.0.1"))
    #expect(script.serving(.primary) == [DomainName.primaryDB.at("10.0.0.1")])
    let added = try #require(script.decisions.first { $0.kind == .memberAdded })
    #expect(
      added.reason.description == "primary-db.example.com resolved to it (remembered from an earlier run, 2h old)")
  }

  @Test("the remembered primary is dead: a backup serves at once, for nothing else is expected of the name")
  func deadPrimary() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.1", age: .seconds(60))
    script.resolve(.replicaDB, to: "10.0.0.2", age: .seconds(60))
    script.pass(DomainName.replicaDB.at("10.0.0.2"))
    script.kill(DomainName.primaryDB.at("10.0.0.1"))
    #expect(script.primary == DomainName.replicaDB.at("10.0.0.2"))
  }

  @Test("news replaces what is remembered, like any answer the one before it")
  func news() throws {
    var script = try Script(.named())
    script.resolve(.primaryDB, to: "10.0.0.1", age: .seconds(60))
    script.resolve(.primaryDB, to: "10.0.0.2")
    script.wait(.seconds(10))
    #expect(script.members == [DomainName.primaryDB.at("10.0.0.2")])
  }
}

@Suite("Size")
struct SizeTests {
  @Test("an event touches the groups it is about, and publishes and plans no others")
  func isolation() throws {
    var engine = Engine(holdRemoved: .seconds(10))
    let groups = (0..<1000).map { number in
      GroupSpecification(
        name: GroupName("g\(number)"), mode: .normal,
        members: [MemberSource(origin: .domain(DomainName("d\(number)"), port: 1), proto: .tcp, check: .tcp)])
    }
    _ = engine.handle(.groupsConfigured(groups, leaving: .afterHold), now: .zero)
    let endpoints = (1...5).map { DiscoveredEndpoint(.v4($0)) }
    let effects = engine.handle(.discoveryUpdated(DiscoveryUpdate(domain: "d7", outcome: .answer(endpoints))), now: .zero)
    guard case .publish(let change) = effects.first else {
      Issue.record("nothing was published")
      return
    }
    #expect(change.changed.map(\.name) == ["g7"])
    let planned = effects.compactMap { if case .replaceProbes(let group, _) = $0 { group } else { nil } }
    #expect(planned == ["g7"])
    #expect(engine.nextDeadline == .zero + .seconds(10))
  }
}
