import Model
import Testing

@Suite("Instants and durations")
struct InstantTests {
  @Test("instants saturate instead of overflowing")
  func saturation() {
    let end = Instant(nanoseconds: .max)
    #expect(end + .nanoseconds(1) == end)
    #expect(Instant.zero + .seconds(Int64.max) == end)
    let beginning = Instant(nanoseconds: .min)
    #expect(beginning - .nanoseconds(1) == beginning)
    #expect(Instant.zero - .seconds(Int64.max) == beginning)
  }

  @Test("adding and taking away cancel out")
  func arithmetic() {
    let instant = Instant(nanoseconds: 1_000)
    #expect(instant + .nanoseconds(5) - .nanoseconds(5) == instant)
    #expect((instant + .milliseconds(3)) - instant == .milliseconds(3))
    #expect(instant - (instant + .milliseconds(3)) == .milliseconds(-3))
    #expect(instant < instant + .nanoseconds(1))
  }

  @Test("durations count whole nanoseconds and saturate at 292 years")
  func nanoseconds() {
    #expect(Duration.milliseconds(1).nanoseconds == 1_000_000)
    #expect(Duration.milliseconds(-1500).nanoseconds == -1_500_000_000)
    #expect(Duration(secondsComponent: 0, attosecondsComponent: 1_999_999_999).nanoseconds == 1)
    #expect(Duration.seconds(Int64.max).nanoseconds == .max)
    #expect(Duration.seconds(Int64.min).nanoseconds == .min)
    #expect(Duration.nanoseconds(Int64.max).nanoseconds == .max)
    #expect((Duration.nanoseconds(Int64.max) + .nanoseconds(1)).nanoseconds == .max)
    #expect(Duration.milliseconds(2500).seconds == 2.5)
  }

  @Test(
    "durations read as the configuration writes them",
    arguments: [
      (Duration.zero, "0s"), (.milliseconds(250), "250ms"), (.seconds(5), "5s"), (.seconds(90), "1m30s"), (.seconds(3600), "1h"),
      (.seconds(86_400), "1d"), (.milliseconds(90_061_001), "1d1h1m1s1ms"), (.microseconds(20), "20us"),
      (.milliseconds(-1500), "-1s500ms"),
      (.milliseconds(1500), "1s500ms"),
    ])
  func text(duration: Duration, text: String) {
    #expect(duration.text == text)
  }

  @Test(
    "regression: the longest durations have a text, too",
    arguments: [Duration.seconds(Int64.max), .seconds(Int64.min), .seconds(Int64.max) * 9])
  func longest(duration: Duration) {
    #expect(duration.text.hasSuffix("ms"))
  }
}

@Suite("Health check settings")
struct HealthCheckTests {
  func check(_ interval: Int, _ timeout: Int, misses: Int) -> HealthCheck {
    HealthCheck(kind: .tcp, interval: .milliseconds(interval), timeout: .milliseconds(timeout), unhealthyThreshold: misses)
  }

  @Test("the defaults detect a silent death in under a second")
  func defaults() {
    #expect(HealthCheck(kind: .tcp).worstCaseDetection == .milliseconds(900))
  }

  @Test("the worst case: one interval, then every probe runs into its timeout")
  func worstCase() {
    #expect(check(100, 50, misses: 1).worstCaseDetection == .milliseconds(150))
    #expect(check(100, 50, misses: 3).worstCaseDetection == .milliseconds(350))
    // A probe that lasts longer than the interval delays the next one.
    #expect(check(100, 400, misses: 3).worstCaseDetection == .milliseconds(1300))
  }

  @Test("the worst case is what a prober that follows the rules really needs", arguments: 1...4, [20, 100, 250])
  func worstCaseIsReal(misses: Int, timeout: Int) {
    let check = check(100, timeout, misses: misses)
    // The server dies right after the probe that started at zero passed.
    var start = check.interval
    var verdict = Duration.zero
    for _ in 0..<misses {
      verdict = start + check.timeout
      start += max(check.interval, check.timeout)
    }
    #expect(verdict == check.worstCaseDetection)
  }

  @Test("only a postgres check of depth role proves roles")
  func provesRole() {
    #expect(!HealthCheck(kind: .tcp).provesRole)
    #expect(!HealthCheck(kind: .http(HTTPCheck())).provesRole)
    #expect(!HealthCheck(kind: .postgres(PostgresCheck())).provesRole)
    #expect(HealthCheck(kind: .postgres(PostgresCheck(depth: .role))).provesRole)
  }
}
