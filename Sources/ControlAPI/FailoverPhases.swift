package import Model

/// How long the phases of changes of primary took: `leba_failover_phase_seconds`.
///
/// A group has samples from its first change on: thousands of groups that never change would only make the metrics longer.
package struct PhaseMetrics: Sendable {
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

  private var groups: [GroupName: [Phase: PhaseHistogram]] = [:]

  package init() {}

  package mutating func add(_ histogram: PhaseHistogram, to phase: Phase, of group: GroupName) {
    groups[group, default: [:]][phase, default: PhaseHistogram()].add(histogram)
  }

  package var family: MetricFamily {
    var family = MetricFamily("leba_failover_phase_seconds", .histogram, help: "How long the phases of changes of primary took.")
    for (group, phases) in groups.sorted(by: { $0.key < $1.key }) {
      // All four, so that a rate over the first of a phase is not lost.
      for phase in Phase.allCases {
        let histogram = phases[phase] ?? PhaseHistogram()
        let labels = [("group", group.rawValue), ("phase", phase.rawValue)]
        family.addHistogram(labels, bounds: PhaseHistogram.bounds, counts: histogram.counts, sum: histogram.sum)
      }
    }
    return family
  }
}
