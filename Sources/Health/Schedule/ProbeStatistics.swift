package import Model
import Synchronization

/// What became of the probes of one member since it joined the plan.
package struct ProbeStatistics: Hashable, Sendable {
  package private(set) var passed = 0
  package private(set) var failed = 0
  package private(set) var lastOutcome: ProbeOutcome?
  /// Of the last probe that passed.
  package private(set) var lastLatency: Duration?
  /// Of the probes that passed: one that failed took as long as its timeout, or no time at all.
  package private(set) var latencies = LatencyHistogram()

  package init() {}

  package mutating func record(_ outcome: ProbeOutcome) {
    lastOutcome = outcome
    switch outcome {
    case .passed(let latency, _):
      passed += 1
      lastLatency = latency
      latencies.record(latency)
    case .failed:
      failed += 1
    }
  }
}

/// A Prometheus histogram: `counts[i]` observations were at most `bounds[i]` and more than the bound before;
/// the last of the counts is above all bounds.
package struct LatencyHistogram: Hashable, Sendable {
  package static let bounds: [Duration] = [
    .microseconds(500), .milliseconds(1), .microseconds(2500), .milliseconds(5), .milliseconds(10), .milliseconds(25),
    .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1), .milliseconds(2500), .seconds(5),
  ]

  package private(set) var counts = [Int](repeating: 0, count: LatencyHistogram.bounds.count + 1)
  package private(set) var sum = Duration.zero
  package var count: Int { counts.reduce(0, +) }

  package init() {}

  package mutating func record(_ latency: Duration) {
    counts[Self.bounds.firstIndex { latency <= $0 } ?? Self.bounds.count] += 1
    sum += latency
  }
}

/// The statistics of all members: written on the probes' event loop, read from anywhere.
final class ProbeLedger: Sendable {
  private let members = Mutex<[MemberKey: ProbeStatistics]>([:])

  func record(_ outcome: ProbeOutcome, of member: MemberKey) {
    members.withLock { $0[member, default: ProbeStatistics()].record(outcome) }
  }

  func remove(_ member: MemberKey) {
    members.withLock { _ = $0.removeValue(forKey: member) }
  }

  var snapshot: [MemberKey: ProbeStatistics] { members.withLock { $0 } }
}
