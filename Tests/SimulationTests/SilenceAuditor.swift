import Failover
import Model

/// "Is it me?", told from outside: of the members that answered, at least two, and more than still answer, have fallen silent since
/// anybody answered.
struct SilenceAuditor {
  private var answering: Set<MemberKey> = []
  private var fallen = 0
  private(set) var isSuspected = false

  /// - Parameter report: of a member.
  mutating func listen(to report: ProbeReport) {
    switch report.outcome {
    case .failed(let failure) where [.timedOut, .unreachable, .local].contains(failure.kind):
      guard answering.remove(report.member) != nil else { return }
      fallen += 1
      if fallen >= 2, fallen > answering.count { isSuspected = true }
    case .passed, .failed:
      answering.insert(report.member)
      fallen = 0
      isSuspected = false
    }
  }

  mutating func forget(_ group: GroupName, exceptFor members: [ProbeTarget]) {
    let present = Set(members.map(\.member))
    answering = answering.filter { $0.group != group || present.contains($0) }
  }
}
