import Model
import Testing

@testable import Discovery

@Suite struct WatchedDomainTests {
  private static let name = WireName.of("a.example")
  private static let one = IPAddress.v4(1)
  private static let two = IPAddress.v4(2)

  private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: 1_000_000_000 * Int64(1000 + seconds)) }

  private func seconds(_ instant: Instant?) -> Int? { instant.map { Int(((($0 - at(0)).seconds) * 10).rounded()) / 10 } }

  private let context = WatchedDomain.Context(
    policy: RefreshPolicy(ResolverSettings()), random: .max / 2, isOneOfMany: false
  ) { addresses, _, _ in addresses }

  private func key(_ type: RecordType, _ name: String = "a.example") -> LookupKey { LookupKey(name: .of(name), type: type) }

  // MARK: What servers say

  private let empty = Lookup.Result.answered(.empty(.noSuchName, timeToLive: nil), server: nil)
  private let servfail = Lookup.Result.failed(.serverFailure, detail: "", server: nil)
  private let silence = Lookup.Result.failed(.timedOut, detail: "", server: nil)

  private func addresses(_ addresses: IPAddress..., ttl: UInt32 = 60) -> Lookup.Result {
    .answered(.records(addresses.map(RecordData.address), timeToLive: ttl), server: nil)
  }

  private func text(_ strings: String..., ttl: UInt32 = 60) -> Lookup.Result {
    .answered(.records([.text(strings)], timeToLive: ttl), server: nil)
  }

  private func services(_ records: (String, tier: UInt16, weight: UInt16)..., additional: [ResourceRecord] = []) -> Lookup.Result {
    let data = records.map { target, tier, weight in
      RecordData.service(ServiceRecord(priority: tier, weight: weight, port: 5432, target: target == "." ? .root : .of(target)))
    }
    return .answered(.records(data, timeToLive: 60, additional: additional), server: nil)
  }

  /// A lookup in which each question is answered as `answers` says, or else denied.
  private func lookUp(
    _ domain: inout WatchedDomain, _ answers: [LookupKey: Lookup.Result], at seconds: Int, names: [String] = ["a.example"]
  ) throws -> WatchedDomain.Completion {
    var open = domain.begin(names.map(WireName.of), source: .dns, now: at(seconds))
    #expect(domain.due == nil)
    while let key = open.popLast() {
      #expect(domain.pending.contains(key))
      switch domain.finished(key, answers[key] ?? empty, context, now: at(seconds)) {
      case .wait: break
      case .ask(let more): open += more
      case .completed(let completion):
        #expect(open.isEmpty && domain.pending.isEmpty)
        return completion
      }
    }
    throw Never()
  }

  private struct Never: Error {}

  private func lookUp(
    _ domain: inout WatchedDomain, _ a: Lookup.Result, _ aaaa: Lookup.Result? = nil, at seconds: Int
  ) throws -> WatchedDomain.Completion {
    try lookUp(&domain, [key(.a): a, key(.aaaa): aaaa ?? empty], at: seconds)
  }

  private func watched(_ specification: DomainSpecification? = nil) -> WatchedDomain {
    WatchedDomain(specification ?? DomainSpecification(domain: "a.example"), now: at(0))
  }

  // MARK: Time

  @Test func `a new name is due at once, and then with its TTL`() throws {
    var domain = watched()
    #expect(domain.due == at(0))
    let completion = try lookUp(&domain, addresses(Self.one), at: 0)
    #expect(completion.update.outcome == .addresses([Self.one]))
    #expect(completion.label == .answer)
    #expect(seconds(domain.due) == 60)
  }

  @Test func `failures back off and are forgotten with an answer`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one), at: 0)
    for (time, next) in [(60, 61), (61, 63), (63, 67), (67, 75)] {
      let completion = try lookUp(&domain, silence, silence, at: time)
      #expect(completion.update.outcome == .failed(.timedOut))
      #expect(seconds(domain.due) == next)
    }
    #expect(domain.status.addresses == [Self.one], "the last good set stays")
    #expect(seconds(domain.status.lastAnswered) == 0)
    let completion = try lookUp(&domain, addresses(Self.one), at: 75)
    #expect(completion.failuresBefore == 4)
    #expect(seconds(domain.due) == 135)
    #expect(domain.status.consecutiveFailures == 0)
  }

  @Test func `a family that fails for good is not a failure of the name`() throws {
    var domain = watched()
    for (time, next) in [(0, 1), (1, 3), (3, 7)] {
      let completion = try lookUp(&domain, addresses(Self.one), servfail, at: time)
      #expect(completion.update.outcome == .addresses([Self.one]))
      #expect(completion.failuresBefore == 0)
      #expect(seconds(domain.due) == next)
    }
    #expect(domain.status.part("AAAA")?.label == .failed(.serverFailure))
    #expect(domain.status.lookups == [.answer: 3])
  }

  @Test func `early lookups are limited to one a second`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one), at: 0)
    let soon = at(0) + .milliseconds(300)
    for _ in 0..<1000 { domain.requestRefresh(now: soon) }
    #expect(domain.due == at(1))
    domain.requestRefresh(now: at(30))
    #expect(domain.due == at(1), "never later than it was")
    _ = try lookUp(&domain, addresses(Self.one), at: 1)
    domain.requestRefresh(now: at(30))
    #expect(domain.due == at(30))
  }

  @Test func `a wish during a lookup is fulfilled by it`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one), at: 0)
    _ = domain.begin([Self.name], source: .dns, now: at(60))
    domain.requestRefresh(now: at(50))
    #expect(domain.due == nil)
    for type in [RecordType.a, .aaaa] { _ = domain.finished(key(type), empty, context, now: at(60)) }
    #expect(seconds(domain.due) == 65)
  }

  @Test func `a round ends at its deadline, whatever is still open`() throws {
    var domain = watched(DomainSpecification(domain: "a.example", lookupTimeout: .seconds(3)))
    _ = domain.begin([Self.name], source: .dns, now: at(0))
    #expect(domain.nextTick == at(3))
    let early = domain.tick(context, now: at(2)).completion
    #expect(early == nil)
    let end = domain.tick(context, now: at(3)).completion
    let completion = try #require(end)
    #expect(completion.update.outcome == .failed(.timedOut))
    #expect(domain.pending.isEmpty)
    let late = domain.finished(key(.a), addresses(Self.one), context, now: at(4))
    #expect(late == .wait)
    #expect(seconds(domain.due) == 4)
  }

  @Test func `the first refresh of one of many names comes at any time from a third of the TTL on`() throws {
    for (random, expected) in [(UInt64.min, 18), (.max, 60)] {
      let context = WatchedDomain.Context(policy: context.policy, random: random, isOneOfMany: true) { addresses, _, _ in addresses
      }
      var domain = watched()
      for (now, next) in [(0, expected), (100, random == 0 ? 154 : 166)] {
        _ = domain.begin([Self.name], source: .dns, now: at(now))
        _ = domain.finished(key(.a), addresses(Self.one), context, now: at(now))
        _ = domain.finished(key(.aaaa), empty, context, now: at(now))
        #expect(seconds(domain.due) == next)
      }
    }
  }

  // MARK: News ahead

  @Test func `news of one family are told ahead of a silent other`() throws {
    var domain = watched()
    func first(_ result: Lookup.Result, at seconds: Int) -> DiscoveryUpdate.Outcome? {
      _ = domain.begin([Self.name], source: .dns, now: at(seconds))
      #expect(domain.nextTick == at(seconds) + .seconds(5))
      _ = domain.finished(key(.a), result, context, now: at(seconds))
      let due = at(seconds) + .milliseconds(50)
      guard domain.nextTick == due else { return nil }
      let early = domain.tick(context, now: due - .milliseconds(1))
      #expect(early.news == nil)
      let news = domain.tick(context, now: due).news
      #expect(domain.nextTick == at(seconds) + .seconds(5), "once")
      return news?.outcome
    }
    func second(at seconds: Int) { _ = domain.finished(key(.aaaa), silence, context, now: at(seconds)) }
    #expect(first(addresses(Self.one), at: 0) == .addresses([Self.one]))
    second(at: 2)
    #expect(domain.status.addedEndpoints == 1, "counted once, at the end")
    #expect(first(addresses(Self.one), at: 60) == nil, "no news")
    second(at: 62)
    #expect(first(addresses(Self.two), at: 120) == .addresses([Self.two]))
    second(at: 122)
    #expect(first(empty, at: 180) == nil, "a denial waits for the other family")
    second(at: 182)
    #expect(first(servfail, at: 240) == nil)
  }

  @Test func `a name whose group only TXT knows is not told before it`() throws {
    var domain = watched(DomainSpecification(domain: "a.example", readsText: true))
    _ = domain.begin([Self.name], source: .dns, now: at(0))
    _ = domain.finished(key(.a), addresses(Self.one), context, now: at(0))
    #expect(domain.nextTick == at(5))
    _ = domain.finished(key(.txt), text("group_name=orders"), context, now: at(1))
    let told = domain.tick(context, now: at(1) + .milliseconds(50)).news
    let news = try #require(told)
    #expect(news.attributes == TextAttributes(group: "orders"))
  }

  // MARK: Services

  private let srv = DomainSpecification(domain: "a.example", record: .srv, ports: [5432])

  @Test func `a service asks for its targets, once each, and is known when they are`() throws {
    var domain = watched(srv)
    let completion = try lookUp(
      &domain,
      [
        key(.srv): services(("x", 10, 5), ("y", 20, 1), ("y", 20, 1)), key(.a, "x"): addresses(Self.one),
        key(.a, "y"): addresses(Self.two, ttl: 20),
      ], at: 0)
    #expect(
      completion.update.outcome
        == .answer([
          DiscoveredEndpoint(Self.one, port: 5432, tier: 10, weight: 5),
          DiscoveredEndpoint(Self.two, port: 5432, tier: 20, weight: 1),
        ]))
    #expect(seconds(domain.due) == 20, "the smallest TTL of all")
    #expect(domain.status.parts.map(\.type) == ["A", "A", "AAAA", "AAAA", "SRV"])
  }

  @Test func `targets of the additional section are not asked for`() throws {
    var domain = watched(srv)
    let glue = ResourceRecord(owner: .of("x"), timeToLive: 7, data: .address(Self.one))
    let completion = try lookUp(&domain, [key(.srv): services(("x", 0, 1), additional: [glue])], at: 0)
    #expect(completion.update.outcome == .answer([DiscoveredEndpoint(Self.one, port: 5432, tier: 0, weight: 1)]))
    #expect(domain.status.parts.map(\.type) == ["SRV"])
    #expect(seconds(domain.due) == 7)
  }

  @Test func `the root as target is drained, alone and beside others`() throws {
    var domain = watched(srv)
    let both = try lookUp(&domain, [key(.srv): services((".", 0, 0), ("x", 0, 1)), key(.a, "x"): addresses(Self.one)], at: 0)
    #expect(both.update.isDrained)
    #expect(both.update.outcome == .answer([DiscoveredEndpoint(Self.one, port: 5432, tier: 0, weight: 1)]))
    let alone = try lookUp(&domain, [key(.srv): services((".", 0, 0))], at: 60)
    #expect(alone.update.isDrained)
    #expect(alone.update.outcome == .answer([]))
    #expect(domain.status.records == [])
  }

  @Test func `a failed SRV question keeps everything`() throws {
    var domain = watched(srv)
    _ = try lookUp(&domain, [key(.srv): services(("x", 0, 1)), key(.a, "x"): addresses(Self.one)], at: 0)
    let completion = try lookUp(&domain, [key(.srv): servfail], at: 60)
    #expect(completion.update.outcome == .failed(.serverFailure))
    #expect(domain.status.addresses == [Self.one])
  }

  @Test func `a target that is no host name is a failure and is not asked for`() throws {
    var domain = watched(srv)
    var odd = WireName.root
    _ = odd.append(label: Array("a.b".utf8))
    let record = RecordData.service(ServiceRecord(priority: 0, weight: 0, port: 1, target: odd))
    let completion = try lookUp(&domain, [key(.srv): .answered(.records([record], timeToLive: 60), server: nil)], at: 0)
    #expect(completion.update.outcome == .failed(.malformed))
  }

  @Test func `ten thousand SRV records are no more work than sixty-four`() throws {
    var domain = watched(srv)
    let records = (0..<10_000).map { number in
      RecordData.service(ServiceRecord(priority: 0, weight: 0, port: 1, target: .of("h\(number)")))
    }
    _ = domain.begin([Self.name], source: .dns, now: at(0))
    let step = domain.finished(key(.srv), .answered(.records(records, timeToLive: 60), server: nil), context, now: at(0))
    guard case .ask(let more) = step else { throw Never() }
    #expect(more.count == 128)
  }

  @Test func `the filter is asked with the ports of the records`() throws {
    var asked: [Set<UInt16>] = []
    let context = WatchedDomain.Context(policy: context.policy, random: 0, isOneOfMany: false) { addresses, ports, refused in
      asked.append(ports)
      refused.append(DomainStatus.Refused(address: addresses[0], reason: "loopback"))
      return []
    }
    var domain = watched(srv)
    let glue = ResourceRecord(owner: .of("x"), timeToLive: 7, data: .address(Self.one))
    _ = domain.begin([Self.name], source: .dns, now: at(0))
    let step = domain.finished(key(.srv), services(("x", 0, 1), additional: [glue]), context, now: at(0))
    guard case .completed(let completion) = step else { throw Never() }
    #expect(completion.update.outcome == .failed(.allRefused))
    #expect(completion.refused.count == 1)
    #expect(asked == [[5432]])
  }

  // MARK: Text

  @Test func `text is remembered when it fails, and gone when it is denied`() throws {
    var domain = watched(DomainSpecification(domain: "a.example", readsText: true))
    let said = try lookUp(&domain, [key(.a): addresses(Self.one), key(.txt): text("is_primary=true", "x=y", ttl: 10)], at: 0)
    #expect(said.update.attributes == TextAttributes(isPrimary: true))
    #expect(said.ignored == [.unknownKey])
    #expect(seconds(domain.due) == 10)
    let failed = try lookUp(&domain, [key(.a): addresses(Self.one), key(.txt): servfail], at: 10)
    #expect(failed.update.attributes == TextAttributes(isPrimary: true))
    #expect(failed.ignored == [], "told once")
    #expect(seconds(domain.due) == 11, "worth an early try")
    let denied = try lookUp(&domain, [key(.a): addresses(Self.one)], at: 20)
    #expect(denied.update.attributes == TextAttributes())
    #expect(domain.status.ignoredText == [.unknownKey: 1])
  }

  @Test func `text that was never answered is unknown, not empty`() throws {
    var domain = watched(DomainSpecification(domain: "a.example", readsText: true))
    let completion = try lookUp(&domain, [key(.a): addresses(Self.one), key(.txt): servfail], at: 0)
    #expect(completion.update.attributes == nil)
    #expect(completion.update.outcome == .addresses([Self.one]))
  }

  // MARK: Search

  @Test func `the next name of the search list is tried when the one before does not exist, and only then`() throws {
    let names = ["a.one", "a.two", "a"]
    var domain = watched()
    let found = try lookUp(
      &domain, [key(.a, "a.two"): addresses(Self.two), key(.a, "a"): addresses(Self.one)], at: 0, names: names)
    #expect(found.update.outcome == .addresses([Self.two]))
    let failed = try lookUp(&domain, [key(.a, "a.one"): servfail, key(.a, "a"): addresses(Self.one)], at: 60, names: names)
    #expect(failed.update.outcome == .failed(.serverFailure), "a failure is not a no")
    #expect(domain.status.addresses == [Self.two])
    let none = try lookUp(&domain, [:], at: 120, names: names)
    #expect(none.update.outcome == .empty)
  }

  // MARK: Memory

  private func remembering() -> WatchedDomain {
    WatchedDomain(
      DomainSpecification(domain: "a.example"),
      remembered: RememberedAnswer(endpoints: [DiscoveredEndpoint(Self.two)], attributes: nil, age: .seconds(3600)), now: at(0))
  }

  @Test func `an answer of an earlier run is told once when no server answers in time, with its age`() throws {
    var domain = remembering()
    #expect(domain.status.source == .memory)
    #expect(seconds(domain.status.lastAnswered) == -3600)
    _ = domain.begin([Self.name], source: .dns, now: at(0))
    let due = at(0) + .milliseconds(300)
    #expect(domain.nextTick == due)
    let told = domain.tick(context, now: due).news
    let news = try #require(told)
    #expect(news.outcome == .addresses([Self.two]))
    #expect(news.age == .seconds(3600) + .milliseconds(300))
    let end = domain.tick(context, now: at(5)).completion
    let completion = try #require(end)
    #expect(completion.update.outcome == .failed(.timedOut))
    #expect(domain.status.addresses == [Self.two])
    #expect(domain.status.source == .memory)
    let next = try lookUp(&domain, addresses(Self.one), at: 6)
    #expect(next.update == DiscoveryUpdate(domain: "a.example", outcome: .addresses([Self.one])))
    #expect(domain.status.source == .dns)
  }

  @Test func `a lookup that fails at once brings the answer of the earlier run`() throws {
    var domain = remembering()
    let completion = try lookUp(&domain, servfail, servfail, at: 0)
    #expect(completion.update.outcome == .addresses([Self.two]))
    #expect(completion.update.age == .seconds(3600))
    #expect(completion.label == .failed(.serverFailure), "and is counted as the failure it was")
  }

  @Test func `a server that answers in time makes the earlier run forgotten`() throws {
    var domain = remembering()
    #expect(try lookUp(&domain, addresses(Self.one), at: 0).update.age == nil)
    #expect(domain.status.addresses == [Self.one])
    #expect(try lookUp(&domain, servfail, servfail, at: 60).update.outcome == .failed(.serverFailure))
  }

  // MARK: Denials

  private func denied(_ seconds: UInt32) -> Lookup.Result { .answered(.empty(.noSuchRecord, timeToLive: seconds), server: nil) }

  @Test func `a denied family is not asked for while its denial lasts, unless somebody asks or the other one is gone`() throws {
    var domain = watched()
    func asked(_ a: Lookup.Result, at seconds: Int) throws -> Set<RecordType> {
      var types: Set<RecordType> = []
      var open = domain.begin([Self.name], source: .dns, now: at(seconds))
      while let key = open.popLast() {
        types.insert(key.type)
        if case .ask(let more) = domain.finished(key, key.type == .a ? a : denied(100), context, now: at(seconds)) { open += more }
      }
      return types
    }
    #expect(try asked(addresses(Self.one, ttl: 30), at: 0) == [.a, .aaaa])
    #expect(try asked(addresses(Self.one, ttl: 30), at: 30) == [.a])
    #expect(domain.status.part("AAAA")?.label == .empty)
    #expect(try asked(addresses(Self.one, ttl: 30), at: 60) == [.a])
    domain.requestRefresh(now: at(70))
    #expect(try asked(addresses(Self.one, ttl: 30), at: 70) == [.a, .aaaa])
    #expect(try asked(addresses(Self.one, ttl: 30), at: 100) == [.a])
    #expect(try asked(addresses(Self.one, ttl: 30), at: 171) == [.a, .aaaa], "the denial is over")
    #expect(try asked(denied(5), at: 200) == [.a, .aaaa], "before the name is called empty all is asked")
    #expect(domain.status.lastOutcome == .empty)
    #expect(try asked(denied(5), at: 203) == [.a, .aaaa], "a name without any record is always asked for whole")
  }

  // MARK: News and repeats

  @Test func `what a scheduled lookup repeats is no news, what was asked for is`() throws {
    var domain = watched()
    #expect(try !lookUp(&domain, addresses(Self.one), at: 0).update.isRepeat)
    #expect(try lookUp(&domain, addresses(Self.one), at: 60).update.isRepeat)
    domain.requestRefresh(now: at(90))
    #expect(try !lookUp(&domain, addresses(Self.one), at: 90).update.isRepeat, "whoever asked may not have heard it")
    #expect(try lookUp(&domain, addresses(Self.one), at: 150).update.isRepeat)
    #expect(try !lookUp(&domain, addresses(Self.two), at: 210).update.isRepeat)
    #expect(try !lookUp(&domain, servfail, servfail, at: 270).update.isRepeat)
    #expect(try lookUp(&domain, servfail, servfail, at: 271).update.isRepeat)
  }

  // MARK: Status

  @Test func `a stray result is ignored`() {
    var domain = watched()
    for type in [RecordType.a, .aaaa] {
      let step = domain.finished(key(type), empty, context, now: at(0))
      #expect(step == .wait)
    }
    #expect(domain.due == at(0))
  }

  @Test func `the status tells what happened`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one, Self.two), at: 0)
    _ = try lookUp(&domain, addresses(Self.two, ttl: 30), at: 60)
    _ = try lookUp(&domain, empty, at: 90)
    _ = try lookUp(&domain, .failed(.refused, detail: "REFUSED", server: nil), silence, at: 95)
    let status = domain.status
    #expect(status.addedEndpoints == 2)
    #expect(status.removedEndpoints == 2)
    #expect(status.lookups == [.answer: 2, .empty: 1, .failed(.refused): 1])
    #expect(seconds(status.lastAnswered) == 90)
    #expect(seconds(status.lastLookupEnded) == 95)
    #expect(status.consecutiveFailures == 1)
    #expect(!status.isLookingUp)
  }

  @Test func `records nobody vouches for keep the time they had`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one), addresses(.v6(6), ttl: 20), at: 0)
    #expect(domain.status.records.map { seconds($0.expires) } == [20, 20])
    _ = try lookUp(&domain, addresses(Self.one), silence, at: 20)
    #expect(domain.status.records.map { seconds($0.expires) } == [80, 20])
    _ = try lookUp(&domain, silence, silence, at: 90)
    #expect(domain.status.records.map { seconds($0.expires) } == [80, 20])
  }

  @Test func `a new specification asks soon`() throws {
    var domain = watched()
    _ = try lookUp(&domain, addresses(Self.one), at: 0)
    domain.update(DomainSpecification(domain: "a.example"), now: at(10))
    #expect(seconds(domain.due) == 60)
    domain.update(DomainSpecification(domain: "a.example", ports: [80]), now: at(10))
    #expect(seconds(domain.due) == 10)
  }
}
