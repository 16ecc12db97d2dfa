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
        members[position].eligibleSince = nil
      } else if members[position].eligibleSince == nil {
        members[position].eligibleSince = now
      }
    }
    dropObsoleteOverride(now: now)
    if hasLeadership { lead(now: now, into: &outcome) }
    alarmAboutTwoWritable(now: now, into: &outcome)
    noteHolding(now: now, into: &outcome)
  }

  /// A normal group has a primary only where somebody named one.
  var hasLeadership: Bool {
    specification.mode == .activePassive || leader != nil || marksPrimary
  }

  /// Whether the member may be the primary now: eligible, or forced by a person and at least in service and not of the wrong role.
  func mayLead(_ member: Member, now: Instant) -> Bool {
    if let override, override.force, override.backend == member.id {
      return member.administrative == .inService && member.roleObstacle(at: now) == nil
    }
    return member.obstacle(at: now) == nil
  }

  private mutating func dropObsoleteOverride(now: Instant) {
    guard let current = override else { return }
    guard let member = member(current.backend) else {
      override = nil
      return
    }
    if member.obstacle(at: now) == nil { override?.force = false }
    if member.health.isDown || member.administrative != .inService, !current.force && !current.pin { override = nil }
  }

  private mutating func lead(now: Instant, into outcome: inout Outcome) {
    guard let leader else {
      if let first = firstElection(now: now) { install(first, kind: .elected, reason: .firstElection, now: now, into: &outcome) }
      return
    }
    guard let current = member(leader) else {
      replace(because: .primaryRemoved, now: now, into: &outcome)
      return
    }
    if mayLead(current, now: now) {
      if override == nil, let preferred = preferred(over: current, now: now) {
        if leaderWasDesignated {
          install(preferred, kind: .failover, reason: .designationMoved, now: now, into: &outcome)
        } else {
          let ready = preferred.eligibleSince.map { now - $0 } ?? .zero
          install(preferred, kind: .failback, reason: .preferredReady(since: ready), now: now, into: &outcome)
        }
      }
      return
    }
    if override?.pin == true || override?.force == true { return }
    switch current.obstacle(at: now) {
    case .drained, .maintenance: replace(because: .primaryDrained(current.administrative), now: now, into: &outcome)
    case .drainedByOperator: replace(because: .primaryOrderedOut(byWindow: false), now: now, into: &outcome)
    case .drainedByWindow: replace(because: .primaryOrderedOut(byWindow: true), now: now, into: &outcome)
    case .degraded(let score): replace(because: .primaryDegraded(score: score), now: now, into: &outcome)
    // A leader that was never probed is a leader only by an operator's word that was since lifted.
    case .notProbed, .roleUnknown, nil: replace(because: .roleUnproved, now: now, into: &outcome)
    case .down(let failure): replace(because: .primaryDown(failure), now: now, into: &outcome)
    case .replica: replace(because: .primaryDemoted, now: now, into: &outcome)
    }
  }

  /// Before anybody led, the designated primary is worth waiting for: a backup must not win because its probe came back first.
  private func firstElection(now: Instant) -> Member? {
    guard let best = bestCandidate(now: now) else { return nil }
    if best.designated { return best }
    let awaitsItsName =
      !unresolvedDomains.isEmpty
      && specification.members.indices.contains { rank in
        specification.members[rank].domain.map(unresolvedDomains.contains) ?? false && designates(rank)
      }
    let designatedAreSettled = !awaitsItsName && members.allSatisfy { !$0.designated || $0.isSettled(at: now) }
    return designatedAreSettled || now >= electsAnyoneFrom ? best : nil
  }

  /// The most preferred of the eligible members: designated, then named before departed, then those whose weight lets them take
  /// traffic, then the lower tier, then this host's zone, then configured order.
  func bestCandidate(now: Instant) -> Member? {
    members.filter { mayLead($0, now: now) }
      .min { a, b in
        if a.designated != b.designated { return a.designated }
        if (a.departure == nil) != (b.departure == nil) { return a.departure == nil }
        if (a.weight == 0) != (b.weight == 0) { return b.weight == 0 }
        if a.tier != b.tier { return a.tier < b.tier }
        if isLocal(a) != isLocal(b) { return isLocal(a) }
        return (position(a.id) ?? 0) < (position(b.id) ?? 0)
      }
  }

  private mutating func replace(because reason: Reason, now: Instant, into outcome: inout Outcome) {
    guard mayChange(now: now), let best = bestCandidate(now: now) else { return }
    install(best, kind: .failover, reason: reason, now: now, into: &outcome)
  }

  func mayChange(now: Instant) -> Bool { nextAllowedChange.map { now >= $0 } ?? true }

  var nextAllowedChange: Instant? { lastChange.map { $0 + specification.minimumInterval } }

  /// The member that should take over from a working leader: DNS moved the designation, or automatic failback is due.
  private func preferred(over current: Member, now: Instant) -> Member? {
    // Where members testify, their word counts and not a name: two writable servers never alternate.
    guard !current.designated, !current.provesRole, mayChange(now: now) else { return nil }
    guard let best = bestCandidate(now: now), best.designated, best.id != current.id else { return nil }
    if leaderWasDesignated { return best }
    guard let due = failbackDue(best) else { return nil }
    return now >= due ? best : nil
  }

  private func failbackDue(_ member: Member) -> Instant? {
    guard case .automatic(let delay) = specification.failback, let since = member.eligibleSince else { return nil }
    return since + delay
  }

  mutating func install(_ member: Member, kind: Decision.Kind, reason: Reason, now: Instant, into outcome: inout Outcome) {
    let evidence = members.map { $0.evidence(at: now) }
    outcome.record(kind, from: leader, to: member.id, reason: reason, evidence: evidence)
    leader = member.id
    leaderWasDesignated = false
    alarmedAboutTwoWritable = false
    // A choice that did not keep its backend in place is over.
    if kind != .manual { override = nil }
    if kind.changesPrimary {
      lastChange = now
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
      if member.designated, member.id != leader { consider(failbackDue(member)) }
      consider(nextStep(of: member, after: now))
    }
    if leader == nil || !hasServed { consider(electsAnyoneFrom) }
    consider(nextAllowedChange)
    return earliest
  }
}
