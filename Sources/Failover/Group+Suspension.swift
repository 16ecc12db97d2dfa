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
      if network.holds || incumbent.flatMap(member).map({ deservesDoubt($0, at: now) }) ?? false { return }
      outcome.record(.failoversResumed, to: incumbent, reason: .networkProved)
    }
    suspension = nil
  }

  /// Why automatic changes are not made now, for people; nil when they are. Their distance from each other is told apart.
  func suspensionText(at now: Instant) -> String? {
    if let limit = specification.maximumFailovers, let end = automaticChanges.suspended(by: limit, at: now) {
      return "\(Reason.tooManyFailovers(limit)), in \((end - now).text)"
    }
    return suspension == .network ? "\(Reason.networkSuspected(silent: network.silent, of: network.of))" : nil
  }
}
