import Model

/// Who leads. Called after every fact and every deadline; idempotent when nothing changed.
extension Group {
  mutating func settle(now: Instant, into outcome: inout Outcome) {
    removeDeparted(now: now, into: &outcome)
    if isGone { return }
    judgePerformance(now: now, into: &outcome)
    for position in members.indices {
      let eligible = members[position].obstacle(at: now) == nil
      if !eligible {
        if members[position].eligibleSince != nil { noteFailure(of: members[position], now: now) }
        members[position].eligibleSince = nil
      } else if members[position].eligibleSince == nil {
        members[position].eligibleSince = now
      }
    }
    dropObsoleteOverride(now: now, into: &outcome)
    noteResumption(now: now, into: &outcome)
    lead(now: now, into: &outcome)
    alarmAboutTwoWritable(now: now, into: &outcome)
    noteHolding(now: now, into: &outcome)
  }

  /// A normal group has a primary only where somebody named one.
  var hasLeadership: Bool {
    specification.mode == .activePassive || leader != nil || marksPrimary || override != nil || remembered != nil
  }

  /// Who leads as far as the rules are concerned. In shadow mode that is who would lead if they were carried out.
  var incumbent: BackendID? { specification.shadow ? shadowPrimary ?? leader : leader }

  private mutating func lead(now: Instant, into outcome: inout Outcome) {
    if hasLostRemembered(at: now) { resume() }
    switch ruling(at: now) {
    case .changes(let change):
      make(change, now: now, into: &outcome)
      // When the primary of the last run is found again, the one to go back to may have been ready for long enough, or another
      // may have been promoted meanwhile.
      if change.kind == .elected, case .changes(let next) = ruling(at: now) { make(next, now: now, into: &outcome) }
    case .delayed(let change, let delay): noteSuspension(of: change, delay, now: now, into: &outcome)
    case .noPrimary, .awaitsFirstVerdicts, .keeps, .keptByOverride, .nobodyEligible: break
    }
  }

  private mutating func make(_ change: Ruling.Change, now: Instant, into outcome: inout Outcome) {
    guard let member = member(change.to) else { return }
    // In shadow mode, too, as if it had been done: else the shadow would be calmer, or wilder, than the real thing.
    if change.kind != .elected, !change.reason.isAskedFor { automaticChanges.append(now, limit: specification.maximumFailovers) }
    if specification.shadow, change.kind != .elected {
      outcome.record(
        .shadowed, from: incumbent, to: change.to, reason: change.reason, evidence: members.map { $0.evidence(at: now) },
        detection: change.detection)
      shadowPrimary = change.to == leader ? nil : change.to
      leaderWasDesignated = false
    } else {
      let wasAlarmed = alarmedAboutTwoWritable
      install(
        member, kind: change.kind, reason: change.reason, detection: change.detection, now: now, into: &outcome)
      // It ends the conflict that the alarm was about, as far as that is ours to end: no second alarm for it.
      if case .higherTimeline = change.reason { alarmedAboutTwoWritable = wasAlarmed }
      if specification.pin, member.designated, override == nil {
        override = Override(backend: member.id, force: false, pin: true, isConfigured: true)
      }
    }
  }

  mutating func install(
    _ member: Member, kind: Decision.Kind, reason: Reason, detection: Duration? = nil, now: Instant, into outcome: inout Outcome
  ) {
    let evidence = members.map { $0.evidence(at: now) }
    outcome.record(kind, from: leader, to: member.id, reason: reason, evidence: evidence, detection: detection)
    leader = member.id
    shadowPrimary = nil
    remembered = nil
    leaderWasDesignated = false
    alarmedAboutTwoWritable = false
    // A choice that did not keep its backend in place is over.
    if override?.backend != member.id { endOverride(because: reason, into: &outcome) }
    if kind.changesPrimary {
      lastFailover = now
      failoverCount += 1
    }
  }

  /// After the election, so that a new primary with a rival is an alarm at once and not at the next fact.
  private mutating func alarmAboutTwoWritable(now: Instant, into outcome: inout Outcome) {
    guard specification.mode == .activePassive, let current = leader.flatMap(member), current.provesRole else { return }
    guard mayLead(current, now: now) else { return }
    let writable = members.filter { $0.provesRole && $0.health.isUp && $0.role(at: now) == .primary }.map(\.id)
    if writable.count < 2 {
      alarmedAboutTwoWritable = false
    } else if !alarmedAboutTwoWritable {
      alarmedAboutTwoWritable = true
      outcome.record(
        .twoWritable, to: current.id, reason: .bothWritable(writable), evidence: members.map { $0.evidence(at: now) })
    }
  }

  private mutating func noteHolding(now: Instant, into outcome: inout Outcome) {
    let serves = hasSomebodyServing(now: now)
    hasServed = hasServed || serves
    if serves == !holding || (!serves && isStarting(now: now)) { return }
    holding = !serves
    outcome.record(
      holding ? .holdBegan : .holdEnded, to: leader, reason: holding ? .nobodyEligible : .somebodyEligible,
      evidence: members.map { $0.evidence(at: now) })
    if holding { outcome.lookUps.formUnion(domains) }
  }

  /// Waiting for the first verdicts is not yet a hold worth a record.
  private func isStarting(now: Instant) -> Bool {
    !hasServed && now < electsAnyoneFrom && (!unresolvedDomains.isEmpty || members.contains { !$0.isSettled(at: now) })
  }

  private func hasSomebodyServing(now: Instant) -> Bool {
    let role: ListenerRole = specification.mode == .activePassive ? .primary : .any
    return members.contains { standing(of: $0, now: now)[role] == .serve }
  }

  /// The next instant at which time alone could change a decision.
  func deadline(after now: Instant) -> Instant? {
    var earliest: Instant?
    func consider(_ instant: Instant?) {
      guard let instant, instant > now else { return }
      earliest = min(earliest ?? instant, instant)
    }
    for member in members {
      consider(removalDue(member))
      consider(member.roleExpiry.map { $0 + .nanoseconds(1) })
      consider(doubtEnds(member))
      if member.designated, member.id != incumbent { consider(failbackDue(member)) }
      consider(nextStep(of: member, after: now))
    }
    if leader == nil || !hasServed { consider(electsAnyoneFrom) }
    consider(nextAllowedChange)
    consider(automaticChanges.suspended(by: specification.maximumFailovers, at: now))
    return earliest
  }
}
