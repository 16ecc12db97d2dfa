import Model

/// What became of the probes of one member since its group first named it.
package struct ProbeStatistics: Hashable, Sendable {
  package let failed: Int
  /// Of the probes that passed: one that failed took as long as its timeout, or no time at all.
  package let latencies: LatencyHistogram
  package var passed: Int { latencies.count }

  package init(failed: Int = 0, latencies: LatencyHistogram = LatencyHistogram()) {
    self.failed = failed
    self.latencies = latencies
  }
}

/// A Prometheus histogram: `counts[i]` observations were at most `bounds[i]` and more than the bound before;
/// the last of the counts is above all bounds.
package struct LatencyHistogram: Hashable, Sendable {
  package static let bounds: [Duration] = [
    .microseconds(500), .milliseconds(1), .microseconds(2500), .milliseconds(5), .milliseconds(10), .milliseconds(25),
    .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1), .milliseconds(2500), .seconds(5),
  ]

  package let counts: [Int]
  package let sum: Duration
  package var count: Int { counts.reduce(0, +) }

  package init() { self.init(LatencyCounts()) }

  init(_ latencies: LatencyCounts) {
    counts = latencies.counts.indices.map { Int(latencies.counts[$0]) }
    sum = .nanoseconds(latencies.sum)
  }
}

/// The same as it is kept, 64 bytes, once for each member that ever passed.
struct LatencyCounts: Sendable {
  /// In nanoseconds. First, because it lies beside the counts of what is near then: each pass costs one line of the cache and not two.
  private(set) var sum: Int64 = 0
  /// One for each of the bounds, and one above.
  private(set) var counts = InlineArray<14, UInt32>(repeating: 0)

  private static let bounds = InlineArray<13, Int64> { LatencyHistogram.bounds[$0].nanoseconds }

  mutating func record(_ latency: Duration) {
    let latency = latency.nanoseconds
    var place = 0
    while place < Self.bounds.count, latency > Self.bounds[place] { place += 1 }
    counts[place] &+= 1
    sum &+= latency
  }
}
