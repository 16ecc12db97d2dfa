/// How long a phase of a failover took, as a Prometheus histogram: `counts[i]` observations were at most `bounds[i]` and more than the
/// bound before; the last of the counts is above all bounds.
package struct PhaseHistogram: Hashable, Sendable {
  /// A decision takes microseconds, a drain half a minute.
  package static let bounds: [Duration] = [
    .microseconds(100), .milliseconds(1), .milliseconds(2), .milliseconds(5), .milliseconds(10), .milliseconds(20),
    .milliseconds(50), .milliseconds(100), .milliseconds(200), .milliseconds(500), .seconds(1), .seconds(2), .seconds(5),
    .seconds(10), .seconds(30), .seconds(60),
  ]

  package private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
  package private(set) var sum = Duration.zero
  package var count: Int { counts.reduce(0, +) }

  package init() {}

  package mutating func record(_ duration: Duration) {
    let duration = max(duration, .zero)
    counts[Self.bounds.firstIndex { duration <= $0 } ?? Self.bounds.count] += 1
    sum += duration
  }

  package mutating func add(_ other: PhaseHistogram) {
    for i in counts.indices { counts[i] += other.counts[i] }
    sum += other.sum
  }
}
