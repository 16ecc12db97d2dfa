import Failover
import Model

/// The phases of a failover that the control path sees: how long a failure went unnoticed, and how long it then took to decide.
/// What follows, the data path measures.
struct DecisionPhases {
  struct Histograms {
    /// From the last proof of life to the verdict.
    var detect = PhaseHistogram()
    /// From the arrival of the fact, or the deadline, that led to it, to the new routes on their way to the workers.
    var decide = PhaseHistogram()
  }

  private(set) var byGroup: [GroupName: Histograms] = [:]

  mutating func note(_ decision: Decision, decided: Duration) {
    if decision.kind == .groupDeleted { byGroup[decision.group] = nil }
    guard decision.kind.changesPrimary else { return }
    if let detection = decision.detection { byGroup[decision.group, default: Histograms()].detect.record(detection) }
    byGroup[decision.group, default: Histograms()].decide.record(decided)
  }
}
