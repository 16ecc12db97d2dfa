package import Model

/// How long the phases of changes of primary took: `leba_failover_phase_seconds`.
///
/// Who sees a phase end notes it. A group has samples from its first change on: thousands of groups that never change would only
/// make the metrics longer.
package struct FailoverPhases: Sendable {
  package enum Phase: String, CaseIterable, Hashable, Sendable {
    /// From the last proof that the old primary served to the fact that decided.
    case detect
    /// From that fact to the published route.
    case decide
    /// From there to the first connection that the new primary took.
    case firstConnection = "first_connection"
    /// From there to the end of the last session on the old one.
    case lastStaleSession = "last_stale_session"
  }

  /// A decision takes microseconds, a drain half a minute.
  private static let bounds: [Duration] = [
    .microseconds(100), .milliseconds(1), .milliseconds(5), .milliseconds(10), .milliseconds(25), .milliseconds(50),
    .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1), .milliseconds(2500), .seconds(5), .seconds(10),
    .seconds(30),
  ]

  private struct Histogram: Sendable {
    /// One for each bound, and one for what is above all of them.
    var counts = [UInt64](repeating: 0, count: FailoverPhases.bounds.count + 1)
    var sum = Duration.zero
  }

  private struct Series: Hashable, Sendable {
    let group: GroupName
    let phase: Phase
  }

  private var histograms: [Series: Histogram] = [:]

  package init() {}

  package mutating func note(_ phase: Phase, of group: GroupName, took duration: Duration) {
    let duration = max(duration, .zero)
    let place = Self.bounds.firstIndex { duration <= $0 } ?? Self.bounds.count
    // All four at once, so that a rate over the first of a phase is not lost.
    for phase in Phase.allCases where histograms[Series(group: group, phase: phase)] == nil {
      histograms[Series(group: group, phase: phase)] = Histogram()
    }
    histograms[Series(group: group, phase: phase)]?.counts[place] += 1
    histograms[Series(group: group, phase: phase)]?.sum += duration
  }

  /// The group is gone.
  package mutating func forget(_ group: GroupName) {
    for phase in Phase.allCases { histograms[Series(group: group, phase: phase)] = nil }
  }

  package var family: MetricFamily {
    var family = MetricFamily(
      "leba_failover_phase_seconds", .histogram, help: "How long the phases of changes of primary took.")
    let sorted = histograms.sorted { ($0.key.group, $0.key.phase.rawValue) < ($1.key.group, $1.key.phase.rawValue) }
    for (series, histogram) in sorted {
      let labels = [("group", series.group.rawValue), ("phase", series.phase.rawValue)]
      var cumulative: UInt64 = 0
      for (bound, count) in zip(Self.bounds.map { String($0.seconds) } + ["+Inf"], histogram.counts) {
        cumulative += count
        family.samples.append(.init(labels + [("le", bound)], Double(cumulative), suffix: "_bucket"))
      }
      family.samples.append(.init(labels, histogram.sum.seconds, suffix: "_sum"))
      family.samples.append(.init(labels, Double(cumulative), suffix: "_count"))
    }
    return family
  }
}
