package import Model
import Synchronization

/// What became of the probes of one member since its group first named it.
package struct ProbeStatistics: Hashable, Sendable {
  package private(set) var passed = 0
  package private(set) var failed = 0
  /// Of the probes that passed: one that failed took as long as its timeout, or no time at all.
  package private(set) var latencies = LatencyHistogram()

  package init() {}

  package mutating func record(_ outcome: ProbeOutcome) {
    switch outcome {
    case .passed(let latency, _, _):
      passed += 1
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

  /// Empty until there is an observation: members that never pass are many where there are many.
  private var observed: [Int] = []
  package var counts: [Int] { observed.isEmpty ? Self.none : observed }
  package private(set) var sum = Duration.zero
  package var count: Int { observed.reduce(0, +) }

  private static let none = [Int](repeating: 0, count: bounds.count + 1)

  package init() {}

  package mutating func record(_ latency: Duration) {
    if observed.isEmpty { observed = Self.none }
    observed[Self.bounds.firstIndex { latency <= $0 } ?? Self.bounds.count] += 1
    sum += latency
  }
}

/// The statistics of all members: written on the probes' event loop, read from anywhere.
final class ProbeLedger: Sendable {
  /// By group, so that a snapshot costs the event loop a copy of the groups it writes to while somebody reads it, and not of all.
  private let groups = Mutex<[GroupName: [BackendID: ProbeStatistics]]>([:])

  func record(_ outcome: ProbeOutcome, of member: MemberKey) {
    groups.withLock { $0[member.group, default: [:]][member.backend, default: ProbeStatistics()].record(outcome) }
  }

  func remove(_ member: MemberKey) {
    groups.withLock { groups in
      groups[member.group]?[member.backend] = nil
      if groups[member.group]?.isEmpty == true { groups[member.group] = nil }
    }
  }

  var snapshot: [MemberKey: ProbeStatistics] {
    var snapshot: [MemberKey: ProbeStatistics] = [:]
    for (group, members) in groups.withLock({ $0 }) {
      for (backend, statistics) in members { snapshot[MemberKey(group: group, backend: backend)] = statistics }
    }
    return snapshot
  }
}
