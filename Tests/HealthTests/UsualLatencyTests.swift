import Model
import Testing

@testable import Health

@Suite struct UsualLatencyTests {
  private func usual(_ latencies: [Duration]) -> UsualLatency {
    var usual = UsualLatency()
    for latency in latencies { usual.record(latency) }
    return usual
  }

  @Test func `a fast server has five milliseconds, and a slow one twice what it takes`() {
    #expect(usual([]).patience == nil)
    #expect(usual([.zero]).patience == .milliseconds(5))
    #expect(usual([.milliseconds(2)]).patience == .milliseconds(5))
    #expect(usual([.milliseconds(30)]).patience == .milliseconds(60))
  }

  @Test func `one that pauses now and then is not late when it does`() throws {
    var latencies: [Duration] = []
    for number in 0..<100 { latencies.append(.milliseconds(number % 10 == 0 ? 40 : 1)) }
    let patience = try #require(usual(latencies).patience)
    #expect(patience > .milliseconds(40))
  }

  @Test func `a first connection that was slow is forgotten`() {
    #expect(usual([.milliseconds(200)] + Array(repeating: .milliseconds(1), count: 80)).patience == UsualLatency.leastPatience)
  }

  @Test func `any latency has room`() {
    #expect(usual([.seconds(Int64.max / 2), .seconds(-5)]).patience == .microseconds(2 * Int64(UInt32.max - UInt32.max / 16)))
    #expect(MemoryLayout<UsualLatency>.size == 4)
  }
}
