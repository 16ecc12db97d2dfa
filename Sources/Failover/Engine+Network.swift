import Model

/// A probe's result is a fact about its member and a hint about this host.
extension Engine {
  mutating func probeFinished(_ report: ProbeReport, now: Instant) -> [Effect] {
    guard let position = index[report.member.group] else { return [] }
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
