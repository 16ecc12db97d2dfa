import Model
import Testing

@testable import Discovery

@Suite struct AddressSetTests {
  private static let one = IPAddress.v4(1)
  private static let two = IPAddress.v4(2)
  private static let six = IPAddress.v6(6)

  private func good(_ addresses: IPAddress..., ttl: Int = 60) -> AddressSet.Finding {
    .addresses(addresses, timeToLive: .seconds(ttl))
  }
  private let empty = AddressSet.Finding.empty(timeToLive: .seconds(9))
  private let servfail = AddressSet.Finding.failed(.serverFailure)

  @Test func bothFamiliesMakeOneSortedSet() {
    var set = AddressSet()
    let merge = set.merge(a: good(Self.two, Self.one, Self.two, ttl: 60), aaaa: good(Self.six, ttl: 20))
    #expect(merge.outcome == .answer([Self.one, Self.two, Self.six]))
    #expect(merge.finding == .answered(timeToLive: .seconds(20), isPartial: false))
  }

  @Test func aDenialOfOneFamilyDoesNotShortenTheOther() {
    var set = AddressSet()
    let merge = set.merge(a: good(Self.one, ttl: 60), aaaa: .empty(timeToLive: .seconds(1)))
    #expect(merge.outcome == .answer([Self.one]))
    #expect(merge.finding == .answered(timeToLive: .seconds(60), isPartial: false))
  }

  @Test func aFailedFamilyContributesItsLastGoodSet() {
    var set = AddressSet()
    _ = set.merge(a: good(Self.one), aaaa: good(Self.six))
    let merge = set.merge(a: good(Self.two), aaaa: servfail)
    #expect(merge.outcome == .answer([Self.two, Self.six]))
    #expect(merge.finding == .answered(timeToLive: .seconds(60), isPartial: true))
  }

  @Test func onlyTwoDenialsAreEmpty() {
    var set = AddressSet()
    _ = set.merge(a: good(Self.one), aaaa: good(Self.six))
    #expect(set.merge(a: empty, aaaa: .empty(timeToLive: nil)).outcome == .empty)
    #expect(set.known == [])
    #expect(set.merge(a: servfail, aaaa: servfail).outcome == .failed(.serverFailure), "a denied set does not come back")
  }

  @Test func emptyAndFailedKeepsWhatTheFailedOneKnew() {
    var set = AddressSet()
    #expect(set.merge(a: servfail, aaaa: empty).outcome == .failed(.serverFailure))
    _ = set.merge(a: good(Self.one), aaaa: good(Self.six))
    let merge = set.merge(a: servfail, aaaa: empty)
    #expect(merge.outcome == .answer([Self.one]))
    #expect(merge.finding == .failed)
  }

  @Test func twoFailuresTellNothingAndForgetNothing() {
    var set = AddressSet()
    _ = set.merge(a: good(Self.one), aaaa: empty)
    #expect(set.merge(a: .failed(.timedOut), aaaa: servfail).outcome == .failed(.timedOut))
    #expect(set.known == [Self.one])
  }

  @Test func sixtyFourAddressesAreKeptWhateverTheirOrder() {
    var set = AddressSet()
    let all = (0..<100).map { IPAddress.v4($0) }
    let merge = set.merge(a: .addresses(all.reversed(), timeToLive: .zero), aaaa: good(Self.six))
    #expect(merge.outcome == .answer(Array(all.prefix(64))))
    #expect(merge.omitted == 37)
    #expect(set.merge(a: .addresses(all.shuffled(), timeToLive: .zero), aaaa: good(Self.six)).outcome == merge.outcome)
  }
}

@Suite struct WatchedDomainTests {
  private let policy = RefreshPolicy(ResolverSettings())
  private let one = IPAddress.v4(1)
  private let two = IPAddress.v4(2)

  private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: 1_000_000_000 * Int64(1000 + seconds)) }

  private func lookUp(
    _ domain: inout WatchedDomain, _ a: AddressSet.Finding, _ aaaa: AddressSet.Finding = .empty(timeToLive: nil), at seconds: Int
  ) throws -> WatchedDomain.Completion {
    domain.begin(source: .dns, now: at(seconds))
    #expect(domain.due == nil)
    let first = domain.finished(.a, .init(finding: a), policy: policy, now: at(seconds), random: .max / 2)
    #expect(first == nil, "both families must have ended")
    let second = domain.finished(.aaaa, .init(finding: aaaa), policy: policy, now: at(seconds), random: .max / 2)
    return try #require(second)
  }

  private func seconds(_ instant: Instant?) -> Int? { instant.map { Int(((($0 - at(0)).seconds) * 10).rounded()) / 10 } }

  @Test func aNewNameIsDueAtOnceAndThenWithItsTTL() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    #expect(domain.due == at(0))
    let completion = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 0)
    #expect(completion.outcome == .answer([one]))
    #expect(completion.label == .answer)
    #expect(seconds(domain.due) == 60)
  }

  @Test func failuresBackOffAndAreForgottenWithAnAnswer() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 0)
    for (time, next) in [(60, 61), (61, 63), (63, 67), (67, 75)] {
      let completion = try lookUp(&domain, .failed(.timedOut), .failed(.timedOut), at: time)
      #expect(completion.outcome == .failed(.timedOut))
      #expect(seconds(domain.due) == next)
    }
    #expect(domain.status.records.map(\.address) == [one], "the last good set stays")
    #expect(seconds(domain.status.lastAnswered) == 0)
    let completion = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 75)
    #expect(completion.failuresBefore == 4)
    #expect(seconds(domain.due) == 135)
    #expect(domain.status.consecutiveFailures == 0)
  }

  @Test func aFamilyThatFailsForGoodIsNotAFailureOfTheName() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    for (time, next) in [(0, 1), (1, 3), (3, 7)] {
      let completion = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), .failed(.serverFailure), at: time)
      #expect(completion.outcome == .answer([one]))
      #expect(completion.failuresBefore == 0)
      #expect(seconds(domain.due) == next)
    }
    #expect(domain.status.aaaa?.label == .failed(.serverFailure))
    #expect(domain.status.lookups == [.answer: 3])
  }

  @Test func earlyLookupsAreLimitedToOneASecond() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 0)
    let soon = at(0) + .milliseconds(300)
    for _ in 0..<1000 { domain.requestRefresh(now: soon) }
    #expect(domain.due == at(1))
    domain.requestRefresh(now: at(30))
    #expect(domain.due == at(1), "never later than it was")
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 1)
    domain.requestRefresh(now: at(30))
    #expect(domain.due == at(30))
  }

  @Test func aWishDuringALookupIsFulfilledByIt() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 0)
    domain.begin(source: .dns, now: at(60))
    domain.requestRefresh(now: at(50))
    #expect(domain.due == nil)
    #expect(domain.status.nextLookup == at(60))
    _ = domain.finished(.a, .init(finding: .empty(timeToLive: nil)), policy: policy, now: at(60), random: .max / 2)
    _ = domain.finished(.aaaa, .init(finding: .empty(timeToLive: nil)), policy: policy, now: at(60), random: .max / 2)
    #expect(seconds(domain.due) == 65)
  }

  @Test func newsOfOneFamilyAreToldAheadOfASilentOther() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    func first(_ finding: AddressSet.Finding, at seconds: Int) -> DiscoveryUpdate.Outcome? {
      domain.begin(source: .dns, now: at(seconds))
      #expect(domain.newsDue == nil)
      _ = domain.finished(.a, .init(finding: finding), policy: policy, now: at(seconds), random: 0)
      let due = at(seconds) + .milliseconds(50)
      #expect(domain.newsDue == due)
      let early = domain.newsAhead(now: due - .milliseconds(1))
      #expect(early == nil)
      let news = domain.newsAhead(now: due)
      #expect(domain.newsDue == nil, "once")
      return news
    }
    func second(at seconds: Int) {
      _ = domain.finished(.aaaa, .init(finding: .failed(.timedOut)), policy: policy, now: at(seconds), random: 0)
    }
    #expect(first(.addresses([one], timeToLive: .seconds(60)), at: 0) == .answer([one]))
    second(at: 2)
    #expect(domain.status.addedAddresses == 1, "counted once, at the end")
    #expect(first(.addresses([one], timeToLive: .seconds(60)), at: 60) == nil, "no news")
    second(at: 62)
    #expect(first(.addresses([two], timeToLive: .seconds(60)), at: 120) == .answer([two]))
    second(at: 122)
    #expect(first(.empty(timeToLive: nil), at: 180) == nil, "a denial waits for the other family")
    second(at: 182)
    #expect(first(.failed(.refused), at: 240) == nil)
  }

  @Test func aStrayResultIsIgnored() {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    let stray = WatchedDomain.FamilyResult(finding: .empty(timeToLive: nil))
    #expect(domain.finished(.a, stray, policy: policy, now: at(0), random: 0) == nil)
    #expect(domain.finished(.aaaa, stray, policy: policy, now: at(0), random: 0) == nil)
    #expect(domain.due == at(0))
  }

  @Test func theStatusTellsWhatHappened() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(&domain, .addresses([one, two], timeToLive: .seconds(60)), at: 0)
    _ = try lookUp(&domain, .addresses([two], timeToLive: .seconds(30)), at: 60)
    _ = try lookUp(&domain, .empty(timeToLive: .seconds(5)), at: 90)
    _ = try lookUp(&domain, .failed(.refused), .failed(.timedOut), at: 95)
    let status = domain.status
    #expect(status.addedAddresses == 2)
    #expect(status.removedAddresses == 2)
    #expect(status.lookups == [.answer: 2, .empty: 1, .failed(.refused): 1])
    #expect(seconds(status.lastAnswered) == 90)
    #expect(seconds(status.lastLookupEnded) == 95)
    #expect(status.consecutiveFailures == 1)
    #expect(!status.isLookingUp)
  }

  @Test func recordsExpireWithTheirFamily() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(
      &domain, .addresses([one], timeToLive: .seconds(60)), .addresses([.v6(6)], timeToLive: .seconds(20)), at: 0)
    #expect(domain.status.records.map { seconds($0.expires) } == [60, 20])
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), .failed(.timedOut), at: 20)
    #expect(domain.status.records.map { seconds($0.expires) } == [80, 20])
  }

  @Test func aNewSpecificationAsksSoon() throws {
    var domain = WatchedDomain(DomainSpecification(domain: "a.example"), now: at(0))
    _ = try lookUp(&domain, .addresses([one], timeToLive: .seconds(60)), at: 0)
    domain.update(DomainSpecification(domain: "a.example"), now: at(10))
    #expect(seconds(domain.due) == 60)
    domain.update(DomainSpecification(domain: "a.example", ports: [80]), now: at(10))
    #expect(seconds(domain.due) == 10)
  }
}

@Suite struct NoticeLimiterTests {
  private func notice(_ kind: DiscoveryNotice.Kind, _ domain: DomainName?) -> DiscoveryNotice {
    DiscoveryNotice(.warning, kind, domain, "text")
  }

  @Test func onceAMinutePerKindAndDomain() {
    var limiter = NoticeLimiter()
    #expect(limiter.pass(notice(.lookupFailed, "a"), now: .zero)?.text == "text")
    #expect(limiter.pass(notice(.lookupFailed, "b"), now: .zero)?.text == "text")
    #expect(limiter.pass(notice(.lookupRecovered, "a"), now: .zero)?.text == "text")
    for _ in 0..<5 { #expect(limiter.pass(notice(.lookupFailed, "a"), now: .zero + .seconds(59)) == nil) }
    #expect(
      limiter.pass(notice(.lookupFailed, "a"), now: .zero + .seconds(60))?.text == "text (5 more of these were not logged)")
    #expect(limiter.pass(notice(.lookupFailed, "b"), now: .zero + .seconds(60))?.text == "text")
  }

  @Test func anOutageOfAThousandNamesIsTwentyLines() {
    var limiter = NoticeLimiter()
    let passed = (0..<1000).filter { limiter.pass(notice(.lookupFailed, DomainName("\($0)")), now: .zero) != nil }
    #expect(passed.count == 20)
    #expect(
      limiter.pass(notice(.lookupFailed, "x"), now: .zero + .seconds(61))?.text == "text (980 more of these were not logged)")
  }
}
