import Model
import Testing

@testable import Discovery

/// Names under random name servers: whatever these do, the rules about removal hold, time moves on, and no memory grows.
@Suite struct WatchedDomainSimulationTests {
  private struct World {
    var random: SeededGenerator
    var domain: WatchedDomain
    var now: Instant = .zero
    let specification: DomainSpecification
    let names: [WireName]

    init(seed: UInt64) {
      random = SeededGenerator(seed: seed)
      specification = DomainSpecification(
        domain: "a.example", record: random.next() % 2 == 0 ? .address : .srv, readsText: random.next() % 2 == 0,
        lookupTimeout: .seconds(2))
      names = random.next() % 3 == 0 ? [.of("a.one"), .of("a.two")] : [.of("a.example")]
      let remembered = RememberedAnswer(endpoints: [DiscoveredEndpoint(.v4(99), port: 1)], age: .seconds(60))
      domain = WatchedDomain(specification, remembered: random.next() % 3 == 0 ? remembered : nil, now: .zero)
    }

    mutating func below(_ bound: UInt64) -> UInt64 { random.next() % bound }

    /// What a server says to a question; nil for nothing.
    mutating func result(_ key: LookupKey) -> Lookup.Result? {
      switch below(10) {
      case 0: return nil
      case 1: return .failed(.serverFailure, detail: "", server: nil)
      case 2: return .failed(.timedOut, detail: "", server: nil)
      case 3, 4: return .answered(.empty(.noSuchName, timeToLive: below(2) == 0 ? nil : UInt32(below(1 << 32))), server: nil)
      default: return .answered(records(key), server: nil)
      }
    }

    private mutating func records(_ key: LookupKey) -> DNSAnswer {
      let timeToLive = [0, 1, 60, UInt32.max][Int(below(4))]
      let count = Int([1, 1, 2, 3, 100][Int(below(5))])
      var additional: [ResourceRecord] = []
      let data: [RecordData] = (0..<count).map { _ in
        switch key.type {
        case .aaaa: return .address(.v6(IPv6Number(UInt128(below(80)))))
        case .srv:
          let target = below(8) == 0 ? WireName.root : .of("t\(below(5))")
          if below(3) == 0 {
            additional.append(ResourceRecord(owner: target, timeToLive: 5, data: .address(.v4(UInt32(below(80))))))
          }
          return .service(
            ServiceRecord(priority: UInt16(below(3)), weight: UInt16(below(4)), port: UInt16(below(3)) + 1, target: target))
        case .txt: return .text(["is_primary=true", "group_name=g\(below(3))", "x"])
        default: return .address(.v4(UInt32(below(80))))
        }
      }
      return .records(data, timeToLive: timeToLive, additional: additional)
    }
  }

  private struct Tally {
    var denials = 0
    var failures = 0
    var answers = 0
  }

  /// Lives through so many lookups; returns what is wrong.
  private func live(seed: UInt64, lookups: Int) -> [String] {
    var world = World(seed: seed)
    var wrong: [String] = []
    let floor = Duration.seconds(1)
    for number in 0..<lookups {
      guard let due = world.domain.due else { return wrong + ["lookup \(number): nothing is due"] }
      world.now = max(world.now, due)
      let began = world.now
      let before = world.domain.status
      var tally = Tally()
      // Sorted: sets have another order in each process, and a seed must mean the same in all.
      var open = world.domain.begin(world.names, source: .dns, now: began).sorted()
      var completion: WatchedDomain.Completion?
      var asked = Set(open)
      while completion == nil {
        let context = WatchedDomain.Context(
          policy: RefreshPolicy(ResolverSettings()), random: world.random.next(), isOneOfMany: false
        ) { addresses, _, refused in
          // Every seventh address is one that no backend may have.
          addresses.filter { address in
            guard case .v4(let value) = address, value % 7 == 0 else { return true }
            refused.append(DomainStatus.Refused(address: address, reason: "loopback"))
            return false
          }
        }
        world.now = world.now + .milliseconds(Int(world.below(200)))
        if open.isEmpty || world.below(20) == 0 {
          guard let tick = world.domain.nextTick else { return wrong + ["lookup \(number): it never ends"] }
          world.now = max(world.now, tick)
          completion = world.domain.tick(context, now: world.now).completion
          continue
        }
        let key = open.removeLast()
        guard let result = world.result(key) else { continue }
        switch result {
        case .answered(.empty, _): tally.denials += 1
        case .answered: tally.answers += 1
        case .failed: tally.failures += 1
        }
        switch world.domain.finished(key, result, context, now: world.now) {
        case .wait: break
        case .ask(let more):
          open += more.sorted()
          asked.formUnion(more)
        case .completed(let end): completion = end
        }
      }
      guard let completion else { continue }
      let after = world.domain.status
      if world.now - began > .seconds(2) + .milliseconds(200) { wrong.append("lookup \(number) outlasted its deadline") }
      if asked.count > 4 * 64 { wrong.append("lookup \(number) asked \(asked.count) questions") }
      if let next = world.domain.due, next - world.now < floor { wrong.append("lookup \(number): the next one is too soon") }
      if after.records.count > 64 { wrong.append("\(after.records.count) records") }
      let identities = Set(after.records.map { Rotation.Identity($0.endpoint) })
      if identities.count != after.records.count { wrong.append("lookup \(number): an endpoint twice") }
      switch completion.update.outcome {
      case .failed where after.records.map(\.endpoint) != before.records.map(\.endpoint):
        wrong.append("lookup \(number): a failure changed the set")
      case .empty where tally.denials == 0: wrong.append("lookup \(number): empty although nobody denied anything")
      case .empty where !after.records.isEmpty: wrong.append("lookup \(number): empty with records")
      case .answer(let endpoints) where endpoints.isEmpty && !completion.update.isDrained:
        wrong.append("lookup \(number): an answer without endpoints")
      case .answer(let endpoints) where endpoints != after.records.map(\.endpoint):
        wrong.append("lookup \(number): told other endpoints than the status has")
      case .failed, .empty, .answer: break
      }
      // A denial of an earlier lookup may still hold.
      let knowsMore = tally.denials + tally.answers > 0 || after.parts.contains { $0.label == .empty }
      if !knowsMore, after.records.map(\.endpoint) != before.records.map(\.endpoint) {
        wrong.append("lookup \(number): silence and errors changed the set")
      }
    }
    return wrong
  }

  @Test func `no behaviour of name servers breaks the rules`() {
    for seed in 0..<400 as Range<UInt64> {
      let wrong = live(seed: seed, lookups: 40)
      #expect(wrong == [], "seed \(seed)")
      if !wrong.isEmpty { break }
    }
  }
}
