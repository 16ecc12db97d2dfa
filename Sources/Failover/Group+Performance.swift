import Model

/// What a low health score does, where the group is `predictive`.
extension Group {
  /// Of the traffic of a member that is degraded; six steps, so that the proxies are told seldom.
  private static let steps: UInt8 = 5
  /// A score has to rise so far above what it fell below before anything is taken back.
  private static let hysteresis = 5

  /// Sets each member's degradation, and who is ejected. Called before the election.
  mutating func judgePerformance(now: Instant, into outcome: inout Outcome) {
    // The common group has nothing to judge and nothing to take back.
    if specification.predictive == nil, !members.contains(where: { $0.degradation > 0 || $0.isFailing }) { return }
    for position in members.indices { judge(position, now: now, into: &outcome) }
    for position in members.indices {
      let member = members[position]
      // What a person chose, and what is not up anyway, is not for the score to say.
      members[position].isEjected =
        member.isFailing && member.plainObstacle == nil && override?.backend != member.id
        && members.contains { isBetter($0, than: member, now: now) }
    }
  }

  private mutating func judge(_ position: Int, now: Instant, into outcome: inout Outcome) {
    let member = members[position]
    // A member that is down keeps its place among the degraded: it has not recovered.
    guard let score = member.health.score, member.health.isUp || specification.predictive == nil else { return }
    let wanted = degradation(at: score)
    let recovered = degradation(at: score == 100 ? score : score - Self.hysteresis)
    // Between the two it stays as it is.
    let degradation = min(max(member.degradation, wanted), recovered)
    let bound = specification.predictive?.ejectBelow ?? 0
    let isFailing = score < (member.isFailing && bound > 0 ? min(100, bound + Self.hysteresis) : bound)
    members[position].degradation = degradation
    members[position].isFailing = isFailing
    let wasDegraded = member.degradation > 0 || member.isFailing
    let isDegraded = degradation > 0 || isFailing
    if wasDegraded == isDegraded { return }
    outcome.record(
      isDegraded ? .degraded : .restored, to: member.id, reason: .scoreChanged(score),
      evidence: [members[position].evidence(at: now)])
  }

  /// In steps: none from `degrade_below` on, all at `eject_below`, or 0 where that is not set.
  private func degradation(at score: Int) -> UInt8 {
    guard let predictive = specification.predictive, let upper = predictive.degradeBelow, score < upper else { return 0 }
    let lower = predictive.ejectBelow ?? 0
    if score <= lower { return Self.steps }
    let missing = (upper - score) * Int(Self.steps)
    return UInt8(clamping: (missing + upper - lower - 1) / (upper - lower))
  }

  private func isBetter(_ other: Member, than member: Member, now: Instant) -> Bool {
    guard !other.isFailing, other.plainObstacle == nil, other.id != member.id else { return false }
    return specification.mode == .normal || other.roleObstacle(at: now) == nil
  }

  /// The part of its weight that a member gets by its own account, in percent: it is degraded, or starts slowly.
  func ownShare(of member: Member, now: Instant) -> UInt8 {
    let degraded = 100 - 100 / Int(Self.steps) * Int(min(member.degradation, Self.steps))
    let share = degraded * slowShare(of: member, now: now) / 100
    // Rounding alone takes nobody out.
    return UInt8(degraded > 0 ? max(1, share) : 0)
  }
}
