import Failover
import Model
import Testing

@Suite("Tiers")
struct TierTests {
  static let a = DomainName.service.at("10.0.0.1")
  static let b = DomainName.service.at("10.0.0.2")
  static let c = DomainName.service.at("10.0.0.3")

  /// `a` in tier 10, `b` in tier 20, `c` in tier 30, all up.
  func ready(mode: GroupMode, sources: [MemberSource] = [.service(.service)]) throws -> Script {
    var script = try Script(GroupSpecification(name: Script.group, mode: mode, members: sources))
    script.resolve(
      .service, services: [.service("10.0.0.1", tier: 10), .service("10.0.0.2", tier: 20), .service("10.0.0.3", tier: 30)])
    for id in [Self.a, Self.b, Self.c] { script.pass(id) }
    return script
  }

  @Test("an endpoint's own port counts, else the configured one; an endpoint with neither is no member")
  func ports() throws {
    var source = MemberSource.service(.service)
    var script = try Script(GroupSpecification(name: Script.group, mode: .normal, members: [source]))
    let endpoints = [.service("10.0.0.1", port: 7), DiscoveredEndpoint(.v4(0x0a00_0002))]
    script.resolve(.service, services: endpoints)
    #expect(script.members == ["_db._tcp.example.com:10.0.0.1:7"])
    source.origin = .domain(.service, port: 9)
    script = try Script(GroupSpecification(name: Script.group, mode: .normal, members: [source]))
    script.resolve(.service, services: endpoints)
    #expect(script.members == ["_db._tcp.example.com:10.0.0.1:7", "_db._tcp.example.com:10.0.0.2:9"])
  }

  @Test("normal: only the lowest tier with somebody eligible serves; the sessions of the others stay")
  func lowestTierServes() throws {
    var script = try ready(mode: .normal)
    #expect(script.serving(.any) == [Self.a])
    #expect(script.standing(Self.b, .any) == .idle)
    #expect(script.reason(Self.b) == "eligible, backup (tier 20)")
    script.kill(Self.a)
    #expect(script.serving(.any) == [Self.b])
    script.kill(Self.b)
    #expect(script.serving(.any) == [Self.c])
    script.revive(Self.a)
    #expect(script.serving(.any) == [Self.a])
    #expect(script.standing(Self.c, .any) == .idle)
  }

  @Test("normal: who takes no share does not keep a tier in charge, unless nobody takes one")
  func weightlessTier() throws {
    var script = try ready(mode: .normal)
    let mixed: [DiscoveredEndpoint] = [
      .service("10.0.0.1", tier: 10, weight: 0), .service("10.0.0.4", tier: 10, weight: 5), .service("10.0.0.2", tier: 20),
    ]
    script.resolve(.service, services: mixed)
    #expect(script.serving(.any) == [Self.b], "10.0.0.4 is not up")
    script.kill(Self.b)
    #expect(script.serving(.any) == [Self.c], "which is absent, and has a weight")
    script.kill(Self.c)
    #expect(script.serving(.any) == [Self.a])
  }

  @Test("normal: failing open goes to the lowest tier that merely times out")
  func failOpen() throws {
    var script = try ready(mode: .normal)
    script.kill(Self.a, .refused)
    script.kill(Self.c, .timedOut)
    script.kill(Self.b, .timedOut)
    #expect(script.serving(.any) == [Self.b])
    script.revive(Self.c)
    #expect(script.serving(.any) == [Self.c])
  }

  @Test("weights that are all 0 within a tier state no preference; among others, 0 takes no share")
  func weights() throws {
    var script = try Script(GroupSpecification(name: Script.group, mode: .normal, members: [.service(.service)]))
    script.resolve(
      .service,
      services: [
        .service("10.0.0.1", weight: 0), .service("10.0.0.2", weight: 0), .service("10.0.0.3", tier: 1, weight: 0),
        .service("10.0.0.4", tier: 1, weight: 7),
      ])
    #expect(script.snapshot.members.map(\.weight) == [1, 1, 0, 7])
    #expect(script.snapshot.members.map(\.tier) == [0, 0, 1, 1])
  }

  @Test("the configuration's weight wins over the record's")
  func configuredWeight() throws {
    var source = MemberSource.service(.service)
    source.weight = 3
    var script = try Script(GroupSpecification(name: Script.group, mode: .normal, members: [source]))
    script.resolve(.service, services: [.service("10.0.0.1", weight: 0), .service("10.0.0.2", weight: 9)])
    #expect(script.snapshot.members.map(\.weight) == [3, 3])
  }

  @Test("a member's tier and weight follow the records, in its place")
  func attributesFollow() throws {
    var script = try ready(mode: .normal)
    let told = script.resolve(
      .service,
      services: [.service("10.0.0.1", tier: 30), .service("10.0.0.2", tier: 20), .service("10.0.0.3", tier: 10, weight: 4)])
    #expect(told == [.routes([Self.c])])
    #expect(script.members == [Self.c, Self.b, Self.a])
    #expect(script.snapshot.members[0].weight == 4)
  }

  // MARK: Active-passive

  @Test("active-passive: the lowest tier is the primary, the next takes over")
  func failover() throws {
    var script = try ready(mode: .activePassive)
    #expect(script.primary == Self.a)
    #expect(script.snapshot.state == .serving)
    script.kill(Self.a)
    #expect(script.primary == Self.b)
    #expect(script.snapshot.state == .failedOver)
    #expect(script.reason(Self.c) == "eligible, backup (tier 30)")
    script.revive(Self.a)
    script.wait(.seconds(60))
    #expect(script.primary == Self.b, "a recovery is no instruction")
  }

  @Test("active-passive: the first election waits for the lowest tier, and for the name")
  func firstElection() throws {
    var script = try Script(GroupSpecification(name: Script.group, mode: .activePassive, members: [.service(.service)]))
    script.resolve(.service, services: [.service("10.0.0.1", tier: 10), .service("10.0.0.2", tier: 20)])
    script.pass(Self.b)
    #expect(script.primary == nil)
    script.pass(Self.a)
    #expect(script.primary == Self.a)
  }

  @Test("active-passive: a changed priority is an instruction")
  func priorityMoves() throws {
    var script = try ready(mode: .activePassive)
    script.resolve(
      .service, services: [.service("10.0.0.1", tier: 40), .service("10.0.0.2", tier: 20), .service("10.0.0.3", tier: 30)])
    #expect(script.primary == Self.b)
    #expect(script.changes.last?.reason == .designationMoved)
  }

  @Test("active-passive: where a source is marked, tiers do not make a primary")
  func markedElsewhere() throws {
    let marked = MemberSource(origin: .domain(.primaryDB, port: 5432), proto: .postgres, isPrimary: true, check: .tcp)
    var script = try ready(mode: .activePassive, sources: [.service(.service), marked])
    #expect(script.primary == nil)
    script.resolve(.primaryDB, to: "10.0.0.9")
    script.pass(DomainName.primaryDB.at("10.0.0.9"))
    #expect(script.primary == DomainName.primaryDB.at("10.0.0.9"))
    #expect(script.state.members.map(\.designated) == [false, false, false, true])
  }

  @Test("active-passive: of a marked service, the lowest tier is meant")
  func markedService() throws {
    let other = MemberSource.service("_other._tcp.example.com")
    let script = try ready(mode: .activePassive, sources: [other, .service(.service, isPrimary: true)])
    #expect(script.state.members.map(\.designated) == [true, false, false])
    #expect(script.primary == nil || script.primary == Self.a)
  }
}
