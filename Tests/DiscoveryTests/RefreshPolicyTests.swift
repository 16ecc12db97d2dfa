import Model
import Testing

@testable import Discovery

@Suite struct RefreshPolicyTests {
  private static let middle = UInt64.max / 2

  private func delay(
    _ finding: RefreshPolicy.Finding, settings: ResolverSettings = ResolverSettings(), maximumInterval: Duration? = nil,
    ttl: Duration? = nil, failures: Int = 0, lastTimeToLive: Duration? = nil, knowsBackends: Bool = true,
    random: UInt64 = middle
  ) -> Duration {
    let delay = RefreshPolicy(settings).delay(
      after: finding, DomainSpecification(domain: "a.example", maximumInterval: maximumInterval, ttl: ttl), failures: failures,
      lastTimeToLive: lastTimeToLive, knowsBackends: knowsBackends, random: random)
    // Rounded: the fraction in the middle is not exactly one half.
    return .milliseconds((delay.nanoseconds + 500_000) / 1_000_000)
  }

  private func answered(_ timeToLive: Duration) -> RefreshPolicy.Finding { .answered(timeToLive: timeToLive, isPartial: false) }

  @Test func theTTLDecides() {
    #expect(delay(answered(.seconds(60))) == .seconds(60))
  }

  @Test func jitterIsTenPercentEitherWay() {
    #expect(delay(answered(.seconds(60)), random: 0) == .seconds(54))
    #expect(delay(answered(.seconds(60)), random: .max) == .seconds(66))
  }

  @Test func floorAndCapHoldWithJitter() {
    for random in [0, Self.middle, .max] {
      #expect(delay(answered(.zero), random: random) >= .seconds(1))
      #expect(delay(answered(.zero), random: random) <= .milliseconds(1100))
      #expect(delay(answered(.seconds(86_400)), random: random) <= .seconds(300))
      #expect(delay(answered(.seconds(86_400)), random: random) >= .seconds(270))
    }
  }

  @Test func theConfiguredTTLReplacesTheAnswers() {
    #expect(delay(answered(.seconds(5)), ttl: .seconds(60)) == .seconds(60))
    #expect(delay(answered(.seconds(200)), ttl: .seconds(60)) == .seconds(60))
    #expect(delay(answered(.seconds(5)), ttl: .seconds(3600)) == .seconds(300), "the cap holds for it too")
  }

  @Test func theIntervalIsAnUpperBound() {
    #expect(delay(answered(.seconds(60)), maximumInterval: .seconds(30)) == .seconds(30))
    #expect(delay(answered(.seconds(60)), maximumInterval: .seconds(30), random: .max) == .seconds(30))
    #expect(delay(answered(.seconds(10)), maximumInterval: .seconds(30)) == .seconds(10))
    #expect(delay(answered(.seconds(10)), maximumInterval: .zero) == .seconds(1), "the floor wins")
  }

  @Test func denialsLastAsTheirSOAOrTheSettingSays() {
    #expect(delay(.empty(timeToLive: .seconds(20))) == .seconds(20))
    #expect(delay(.empty(timeToLive: nil)) == .seconds(5))
    #expect(delay(.empty(timeToLive: .zero)) == .seconds(1))
    #expect(delay(.empty(timeToLive: .seconds(20)), ttl: .seconds(60)) == .seconds(20), "`ttl` is for answers")
  }

  @Test func withoutBackendsTheNextLookupIsSoon() {
    #expect(delay(.empty(timeToLive: .seconds(3600)), knowsBackends: false) == .seconds(5))
    #expect(delay(.failed, failures: 9, knowsBackends: false) == .seconds(5))
  }

  @Test func failuresBackOffToThirtySecondsOrTheTTL() {
    #expect((1...7).map { delay(.failed, failures: $0) } == [1, 2, 4, 8, 16, 30, 30].map { .seconds($0) })
    #expect((1...5).map { delay(.failed, failures: $0, lastTimeToLive: .seconds(6)) } == [1, 2, 4, 6, 6].map { .seconds($0) })
    #expect(delay(.failed, failures: 5, lastTimeToLive: .zero) == .seconds(1))
  }

  @Test func aFailedFamilyBringsTheNextLookupForward() {
    #expect(delay(.answered(timeToLive: .seconds(60), isPartial: true), failures: 1) == .seconds(1))
    #expect(delay(.answered(timeToLive: .seconds(60), isPartial: true), failures: 9) == .seconds(30))
    #expect(delay(.answered(timeToLive: .seconds(3), isPartial: true), failures: 9) == .seconds(3))
  }

  /// No setting, answer or configuration can make the delay zero, negative or a trap.
  @Test func absurdValuesAreHarmless() {
    let values: [Duration] = [.zero, .seconds(-5), .seconds(Int64.max), .nanoseconds(1)]
    for first in values {
      for second in values {
        let settings = ResolverSettings(minimumTTL: first, maximumTTL: second, negativeTTL: second)
        for finding: RefreshPolicy.Finding in [answered(first), .empty(timeToLive: first), .empty(timeToLive: nil), .failed] {
          let delay = delay(
            finding, settings: settings, maximumInterval: second, ttl: first, failures: .max, lastTimeToLive: second, random: .max)
          #expect(delay >= .milliseconds(100) && delay <= .seconds(86_400))
        }
      }
    }
  }
}

@Suite struct QueryBudgetTests {
  private let start = Instant(nanoseconds: 5_000_000_000)

  @Test func aFullBucketPaysASecondsQueriesAtOnce() {
    var budget = QueryBudget(perSecond: 10, now: start)
    #expect(budget.available(10, now: start) == start)
    budget.spend(10, now: start)
    #expect(budget.available(2, now: start) == start + .milliseconds(200))
    #expect(budget.available(2, now: start + .milliseconds(200)) <= start + .milliseconds(200))
  }

  @Test func savingEndsAtASecond() {
    var budget = QueryBudget(perSecond: 10, now: start)
    let later = start + .seconds(3600)
    #expect(budget.available(11, now: later) == later + .milliseconds(100))
  }

  @Test func theDebtOfRetriesIsBounded() {
    var budget = QueryBudget(perSecond: 10, now: start)
    budget.spend(100_000, now: start)
    #expect(budget.available(1, now: start) == start + .milliseconds(1100))
  }

  @Test func theRateGrowsWithTheNames() {
    var budget = QueryBudget(now: start)
    budget.resize(names: 10_000, now: start)
    budget.spend(1100, now: start)
    #expect(budget.available(1100, now: start) > start + .milliseconds(999))
    #expect(budget.available(1100, now: start) <= start + .seconds(1))
  }

  @Test func timeNeverRunsBackward() {
    var budget = QueryBudget(perSecond: 10, now: start)
    budget.spend(10, now: start)
    #expect(budget.available(1, now: start - .seconds(60)) == start - .seconds(60) + .milliseconds(100))
    #expect(budget.available(1, now: Instant(nanoseconds: .max)) == Instant(nanoseconds: .max))
  }
}

@Suite struct ServerScoresTests {
  private let one = SocketAddress.ip(.v4(1), port: 53)
  private let two = SocketAddress.ip(.v4(2), port: 53)
  private let three = SocketAddress.ip(.v4(3), port: 53)
  private let now = Instant.zero

  @Test func theConfiguredOrderHolds() {
    var scores = ServerScores([one, two, three])
    scores.answered(three)
    #expect(scores.order(now: now) == [one, two, three])
  }

  @Test func aFailedServerIsLastUntilItsPenaltyEnds() {
    var scores = ServerScores([one, two, three])
    scores.failed(one, now: now)
    #expect(scores.order(now: now) == [two, three, one])
    #expect(scores.order(now: now + .milliseconds(4999)) == [two, three, one])
    #expect(scores.order(now: now + .seconds(5)) == [one, two, three])
  }

  /// Twenty names are due in the moment the penalty ends: one of them pays for the test.
  @Test func onlyOneLookupTriesAFailedServerAgain() {
    var scores = ServerScores([one, two])
    scores.failed(one, now: now)
    #expect(scores.order(now: now + .seconds(5)) == [one, two])
    #expect(scores.order(now: now + .seconds(5)) == [two, one])
  }

  @Test func penaltiesDouble() {
    var scores = ServerScores([one, two])
    var time = now
    var penalties: [Int64] = []
    for _ in 0..<7 {
      scores.failed(one, now: time)
      let failed = time
      while scores.order(now: time).first == two { time = time + .seconds(1) }
      penalties.append((time - failed).components.seconds)
    }
    #expect(penalties == [5, 10, 20, 40, 80, 80, 80])
  }

  @Test func failuresOfTriesUnderWayTogetherCountOnce() {
    var scores = ServerScores([one, two])
    for _ in 0..<10 { scores.failed(one, now: now) }
    #expect(scores.order(now: now + .seconds(5)) == [one, two])
  }

  @Test func anAnswerClearsTheRecord() {
    var scores = ServerScores([one, two])
    scores.failed(one, now: now)
    scores.answered(one)
    #expect(scores.order(now: now) == [one, two])
  }

  @Test func aNewListKeepsWhatIsKnown() {
    var scores = ServerScores([one, two])
    scores.failed(one, now: now)
    scores.failed(two, now: now)
    scores.replace([one, three])
    #expect(scores.order(now: now) == [three, one])
    scores.failed(two, now: now)
    scores.replace([one, two, three])
    #expect(scores.order(now: now) == [two, three, one], "what is said of a server that is gone is not remembered")
  }
}
