/// How long failovers of a group took where its clients are: both clocks start when nobody is left of those who served its primary role.
package struct FailoverPhases: Hashable, Sendable {
  /// Until the first connection of a client to whoever serves now, those included that were held for it.
  package internal(set) var firstConnection = PhaseHistogram()
  /// Until the last session on those who served before has ended. Nothing where there was no session.
  package internal(set) var lastStaleSession = PhaseHistogram()

  package init() {}

  mutating func add(_ other: FailoverPhases) {
    firstConnection.add(other.firstConnection)
    lastStaleSession.add(other.lastStaleSession)
  }
}

/// A Prometheus histogram: `counts[i]` observations were at most `bounds[i]` and more than the bound before;
/// the last of the counts is above all bounds.
package struct PhaseHistogram: Hashable, Sendable {
  package static let bounds: [Duration] = [
    .milliseconds(1), .milliseconds(2), .milliseconds(5), .milliseconds(10), .milliseconds(20), .milliseconds(50),
    .milliseconds(100),
    .milliseconds(200), .milliseconds(500), .seconds(1), .seconds(2), .seconds(5), .seconds(10), .seconds(30), .seconds(60),
  ]

  package private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
  package private(set) var sum = Duration.zero
  package var count: Int { counts.reduce(0, +) }

  package init() {}

  package mutating func record(_ duration: Duration) {
    counts[Self.bounds.firstIndex { duration <= $0 } ?? Self.bounds.count] += 1
    sum += duration
  }

  mutating func add(_ other: PhaseHistogram) {
    for i in counts.indices { counts[i] += other.counts[i] }
    sum += other.sum
  }
}
