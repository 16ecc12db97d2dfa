import Model
import Testing

@testable import Discovery

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
