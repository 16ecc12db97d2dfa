package import Model

/// A probe's result is a fact about its member and a hint about this host.
extension Engine {
  mutating func probeFinished(_ report: ProbeReport, now: Instant) -> [Effect] {
    guard let position = index[report.member.group] else { return [] }
    return takeRoutinePass(report, of: position, now: now) ? [] : weigh(report, of: position, now: now)
  }

  /// Nearly all reports, thousands a second, say that a member works as well as before: nothing is elected, announced or remembered
  /// again because of them. What time alone would have changed by now goes the long way.
  private mutating func takeRoutinePass(_ report: ProbeReport, of position: Int, now: Instant) -> Bool {
    guard network.isQuiet, deadlines.deadline(of: UInt32(position)).map({ $0 > now }) ?? true else { return false }
    return slots[position]?.group.takeRoutinePass(report, suspicion: network.suspicion, now: now) ?? false
  }

  /// The long way, which is right for every report.
  package mutating func weigh(_ report: ProbeReport, now: Instant) -> [Effect] {
    index[report.member.group].map { weigh(report, of: $0, now: now) } ?? []
  }

  private mutating func weigh(_ report: ProbeReport, of position: Int, now: Instant) -> [Effect] {
    var others: Set<Int> = []
    let answeringBefore = slots[position]?.group.answering ?? 0
    let news = slots[position]?.group.hear(report)
    network.answering += (slots[position]?.group.answering ?? 0) - answeringBefore
    switch news {
    case .answered: others = network.answered(now: now)
    case .fell:
      let (run, begins) = network.fell(in: position)
      slots[position]?.group.fell(report.member.backend, in: run)
      if begins { others = network.affected }
    case nil: break
    }
    var round = Round()
    change(position, now: now, in: &round) { $0.probeFinished(report, now: now, into: &$1) }
    others.remove(position)
    for other in others.sorted() { change(other, now: now, in: &round) { _, _ in } }
    return finish(round)
  }
}
