import Model

/// What is said about changes that are due and not made: once when they are held back, once when they are not any more.
///
/// The interval is not worth a record: it is short, and the hold that it may cause has one.
extension Group {
  mutating func noteSuspension(of change: Ruling.Change, _ delay: Ruling.Delay, now: Instant, into outcome: inout Outcome) {
    let reason: Reason
    switch delay {
    case .minimumInterval: return
    case .tooManyFailovers:
      guard suspension == nil, let limit = specification.maximumFailovers else { return }
      suspension = .tooManyFailovers
      reason = .tooManyFailovers(limit)
    case .network:
      guard suspension == nil else { return }
      suspension = .network
      reason = .networkSuspected(silent: network.silent, of: network.of)
      // Where it is not this host after all, the candidate's answer says so within a round trip.
      outcome.probesNow.insert(MemberKey(group: name, backend: change.to))
    }
    outcome.record(
      .failoversSuspended, from: incumbent, to: change.to, reason: reason, evidence: members.map { $0.evidence(at: now) })
  }

  /// Before the election, so that the record comes before the change that it makes room for.
  mutating func noteResumption(now: Instant, into outcome: inout Outcome) {
    switch suspension {
    case nil: return
    case .tooManyFailovers:
      if automaticChanges.suspended(by: specification.maximumFailovers, at: now) != nil { return }
      outcome.record(.failoversResumed, to: incumbent, reason: .failoversInLimit)
    case .network:
      if network.holds || primaryMayComeBack(at: now) { return }
      outcome.record(.failoversResumed, to: incumbent, reason: .networkProved)
    }
    suspension = nil
  }

  /// Nobody but members that were silent like the primary could take its place: it has as much time to come back as they took.
  private func primaryMayComeBack(at now: Instant) -> Bool {
    guard let current = incumbent.flatMap(member), current.health.isSilent, deservesDoubt(current, at: now) else { return false }
    return bestCandidate(now: now).map { isFrozen($0, at: now) } ?? true
  }

  /// Why automatic changes are not made now, for people; nil when they are. Their distance from each other is told apart.
  func suspensionText(at now: Instant) -> String? {
    if let limit = specification.maximumFailovers, let end = automaticChanges.suspended(by: limit, at: now) {
      return "\(Reason.tooManyFailovers(limit)), in \((end - now).text)"
    }
    return suspension == .network ? "\(Reason.networkSuspected(silent: network.silent, of: network.of))" : nil
  }
}
