import Model
import Testing

@testable import Discovery

@Suite struct EndpointsTests {
  private static let one = IPAddress.v4(1)
  private static let two = IPAddress.v4(2)
  private static let six = IPAddress.v6(6)
  private static let name = WireName.of("a.example")

  private func good(_ addresses: IPAddress..., ttl: Int = 60) -> Findings.Family {
    .addresses(addresses, timeToLive: .seconds(ttl))
  }
  private let empty = Findings.Family.empty(timeToLive: .seconds(9))
  private let servfail = Findings.Family.failed(.serverFailure)

  private func merge(
    _ endpoints: inout Endpoints, a: Findings.Family, aaaa: Findings.Family, at seconds: Int = 0
  ) -> Endpoints.Merge {
    let findings = Findings(
      places: .found([Findings.Place(target: Self.name)], isDrained: false, timeToLive: .seconds(1 << 32)),
      targets: [Self.name: Findings.Target(a: a, aaaa: aaaa)])
    return endpoints.merge(findings, window: .seconds(30), now: .zero + .seconds(seconds))
  }

  // MARK: Two families

  @Test func `both families make one sorted set`() {
    var endpoints = Endpoints()
    let merge = merge(&endpoints, a: good(Self.two, Self.one, Self.two, ttl: 60), aaaa: good(Self.six, ttl: 20))
    #expect(merge.outcome == .addresses([Self.one, Self.two, Self.six]))
    #expect(merge.finding == .answered(timeToLive: .seconds(20), isPartial: false))
  }

  @Test func `a denial of one family does not shorten the other`() {
    var endpoints = Endpoints()
    let merge = merge(&endpoints, a: good(Self.one, ttl: 60), aaaa: .empty(timeToLive: .seconds(1)))
    #expect(merge.outcome == .addresses([Self.one]))
    #expect(merge.finding == .answered(timeToLive: .seconds(60), isPartial: false))
  }

  @Test func `a failed family contributes its last good set, and is said to be stale`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, a: good(Self.one), aaaa: good(Self.six))
    let merge = merge(&endpoints, a: good(Self.two), aaaa: servfail)
    #expect(merge.outcome == .addresses([Self.two, Self.six]))
    #expect(merge.finding == .answered(timeToLive: .seconds(60), isPartial: true))
    #expect(merge.stale == [Self.six])
  }

  @Test func `only two denials are empty`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, a: good(Self.one), aaaa: good(Self.six))
    #expect(merge(&endpoints, a: empty, aaaa: .empty(timeToLive: nil)).outcome == .empty)
    #expect(endpoints.known == [])
    #expect(
      merge(&endpoints, a: servfail, aaaa: servfail).outcome == .failed(.serverFailure), "a denied set does not come back")
  }

  @Test func `a denial and a failure keep what the failed one knew`() {
    var endpoints = Endpoints()
    #expect(merge(&endpoints, a: servfail, aaaa: empty).outcome == .failed(.serverFailure))
    _ = merge(&endpoints, a: good(Self.one), aaaa: good(Self.six))
    let merge = merge(&endpoints, a: servfail, aaaa: empty)
    #expect(merge.outcome == .addresses([Self.one]))
    #expect(merge.label == .failed(.serverFailure))
    #expect(merge.finding == .failed)
  }

  @Test func `two failures tell nothing and forget nothing`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, a: good(Self.one), aaaa: empty)
    #expect(merge(&endpoints, a: .failed(.timedOut), aaaa: servfail).outcome == .failed(.timedOut))
    #expect(endpoints.addresses == [Self.one])
  }

  @Test func `sixty-four addresses are kept whatever their order`() {
    var endpoints = Endpoints()
    let all = (0..<100).map { IPAddress.v4($0) }
    let first = merge(&endpoints, a: .addresses(all.reversed(), timeToLive: .zero), aaaa: good(Self.six))
    #expect(first.outcome == .addresses(Array(all.prefix(64))))
    #expect(first.omitted == 37)
    let second = merge(&endpoints, a: .addresses(all.shuffled(), timeToLive: .zero), aaaa: good(Self.six))
    #expect(second.outcome == first.outcome)
  }

  // MARK: Services

  private func place(_ target: String, port: UInt16 = 80, tier: UInt16 = 0, weight: UInt16 = 1) -> Findings.Place {
    Findings.Place(target: .of(target), port: port, tier: tier, weight: weight)
  }

  private func merge(
    _ endpoints: inout Endpoints, _ places: [Findings.Place], _ targets: [String: Findings.Family], isDrained: Bool = false
  ) -> Endpoints.Merge {
    let findings = Findings(
      places: .found(places, isDrained: isDrained, timeToLive: .seconds(40)),
      targets: Dictionary(
        uniqueKeysWithValues: targets.map { (WireName.of($0.key), Findings.Target(a: $0.value, aaaa: .empty(timeToLive: nil))) }))
    return endpoints.merge(findings, window: .seconds(30), now: .zero)
  }

  @Test func `a service is its records times the addresses of their targets, by tier`() {
    var endpoints = Endpoints()
    let merge = merge(
      &endpoints, [place("b", port: 81, tier: 20, weight: 5), place("a", tier: 10, weight: 7)],
      ["a": good(Self.two, Self.one), "b": good(Self.one)])
    #expect(
      merge.outcome
        == .answer([
          DiscoveredEndpoint(Self.one, port: 80, tier: 10, weight: 7), DiscoveredEndpoint(Self.two, port: 80, tier: 10, weight: 7),
          DiscoveredEndpoint(Self.one, port: 81, tier: 20, weight: 5),
        ]))
    #expect(merge.finding == .answered(timeToLive: .seconds(40), isPartial: false), "the records' own TTL counts too")
  }

  @Test func `of one endpoint in two tiers the lower counts`() {
    var endpoints = Endpoints()
    let merge = merge(
      &endpoints, [place("b", tier: 20), place("a", tier: 10)], ["a": good(Self.one), "b": good(Self.one)])
    #expect(merge.outcome == .answer([DiscoveredEndpoint(Self.one, port: 80, tier: 10, weight: 1)]))
  }

  @Test func `a target that fails keeps its addresses, a target that is denied loses them, and one that is no longer named too`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, [place("a"), place("b"), place("c")], ["a": good(.v4(1)), "b": good(.v4(2)), "c": good(.v4(3))])
    let next = merge(&endpoints, [place("a"), place("b")], ["a": servfail, "b": empty])
    #expect(endpoints.addresses == [.v4(1)])
    #expect(next.label == .failed(.serverFailure))
    let later = merge(&endpoints, [place("a"), place("d")], ["a": servfail, "d": good(.v4(4))])
    #expect(endpoints.addresses == [.v4(1), .v4(4)])
    #expect(later.finding == .answered(timeToLive: .seconds(40), isPartial: true))
  }

  @Test func `new targets of which none resolves leave the last good set`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, [place("a")], ["a": good(.v4(1))])
    #expect(merge(&endpoints, [place("b")], ["b": servfail]).outcome == .failed(.serverFailure))
    #expect(endpoints.addresses == [.v4(1)])
    #expect(merge(&endpoints, [place("b")], ["b": empty]).outcome == .empty, "but a denial is a denial")
  }

  @Test func `a drained service is an answer without endpoints`() {
    var endpoints = Endpoints()
    _ = merge(&endpoints, [place("a")], ["a": good(.v4(1))])
    let merge = merge(&endpoints, [], [:], isDrained: true)
    #expect(merge.outcome == .answer([]))
    #expect(merge.isDrained)
    #expect(merge.label == .answer)
  }

  // MARK: Memory

  @Test func `what is remembered stays until a lookup of which nothing failed`() {
    let old = DiscoveredEndpoint(Self.two)
    var endpoints = Endpoints(remembered: [old])
    #expect(merge(&endpoints, a: servfail, aaaa: servfail).outcome == .failed(.serverFailure))
    #expect(endpoints.known == [old])
    #expect(merge(&endpoints, a: good(Self.one), aaaa: servfail).outcome == .addresses([Self.one, Self.two]))
    #expect(merge(&endpoints, a: good(Self.one), aaaa: empty).outcome == .addresses([Self.one]))
  }

  @Test func `a denial ends what is remembered`() {
    var endpoints = Endpoints(remembered: [DiscoveredEndpoint(Self.two)])
    #expect(merge(&endpoints, a: empty, aaaa: empty).outcome == .empty)
    #expect(endpoints.known == [])
  }
}

@Suite struct RotationTests {
  private func endpoints(_ numbers: [UInt32]) -> [DiscoveredEndpoint] { numbers.map { DiscoveredEndpoint(.v4($0)) } }

  private func take(_ rotation: inout Rotation, _ numbers: UInt32..., at seconds: Int, limit: Int = 64) -> [UInt32] {
    rotation.take(endpoints(numbers), window: .seconds(30), limit: limit, now: .zero + .seconds(seconds)).map {
      if case .v4(let value) = $0.address { value } else { 0 }
    }
  }

  @Test func `a change without a return is followed at once`() {
    var rotation = Rotation()
    #expect(take(&rotation, 1, 2, at: 0) == [1, 2])
    #expect(take(&rotation, 3, 4, at: 1) == [3, 4])
    #expect(take(&rotation, 5, at: 2) == [5])
    #expect(rotation.kept.isEmpty)
  }

  @Test func `with the first return the union of the window is kept, and let go when it is over`() {
    var rotation = Rotation()
    #expect(take(&rotation, 1, at: 0) == [1])
    #expect(take(&rotation, 2, at: 5) == [2])
    #expect(take(&rotation, 1, at: 10) == [1, 2])
    #expect(rotation.kept == Set(endpoints([2])))
    #expect(take(&rotation, 3, at: 15) == [1, 2, 3])
    #expect(take(&rotation, 3, at: 39) == [1, 2, 3], "a window since the last return")
    #expect(take(&rotation, 3, at: 41) == [3])
  }

  @Test func `a return after the window is a change like any other`() {
    var rotation = Rotation()
    #expect(take(&rotation, 1, at: 0) == [1])
    #expect(take(&rotation, 2, at: 5) == [2])
    #expect(take(&rotation, 1, at: 36) == [1])
  }

  @Test func `an endpoint that leaves a rotating set for good leaves after a window`() {
    var rotation = Rotation()
    _ = take(&rotation, 1, 9, at: 0)
    #expect(take(&rotation, 2, at: 5) == [2])
    for second in stride(from: 10, through: 60, by: 5) {
      let known = take(&rotation, second % 10 == 0 ? 1 : 2, at: second)
      #expect(known == (second <= 35 ? [1, 2, 9] : [1, 2]), "at \(second)")
    }
  }

  @Test func `the union has a bound, and what the answer names comes first`() {
    var rotation = Rotation()
    for round in 0..<50 {
      let base = UInt32(round % 5) * 10
      let known = take(&rotation, base, base + 1, at: round, limit: 4)
      #expect(known.count <= 4)
      #expect(known.contains(base) && known.contains(base + 1))
    }
  }
}

extension WireName {
  /// For names that are right.
  static func of(_ text: String) -> WireName { WireName(text) ?? .root }
}

extension Endpoints {
  var addresses: [IPAddress] { known.map(\.address) }
}

extension DiscoveryUpdate.Outcome {
  /// An answer whose records name nothing but addresses.
  static func addresses(_ addresses: [IPAddress]) -> Self { .answer(addresses.map { DiscoveredEndpoint($0) }) }
}

extension DomainStatus {
  var addresses: [IPAddress] { records.map(\.endpoint.address) }

  /// The first question of a type: `A`, `SRV`, …
  func part(_ type: String) -> Part? { parts.first { $0.type == type } }
}
