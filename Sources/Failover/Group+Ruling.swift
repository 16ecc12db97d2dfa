import Model

/// The rules of election. Everything here only reads.
extension Group {
  func ruling(at now: Instant) -> Ruling {
    guard hasLeadership else { return .noPrimary }
    guard let incumbent else { return firstElection(now: now) }
    guard let current = member(incumbent) else { return replacement(because: .primaryRemoved, now: now) }
    if mayLead(current, now: now) {
      guard override == nil, let change = preference(over: current, now: now) else { return .keeps }
      return delayed(change, now: now)
    }
    let reason = reasonOfLoss(current, now: now)
    if let override, override.pin || override.force { return .keptByOverride(reason) }
    return replacement(because: reason, of: current, now: now)
  }

  /// Whether the member may be the primary now: eligible, or forced by a person and at least in service and not of the wrong role.
  func mayLead(_ member: Member, now: Instant) -> Bool {
    if let override, override.force, override.backend == member.id {
      return member.administrative == .inService && member.roleObstacle(at: now) == nil
    }
    return member.obstacle(at: now) == nil
  }

  /// Why a member that led cannot lead any more.
  func reasonOfLoss(_ member: Member, now: Instant) -> Reason {
    switch member.obstacle(at: now) {
    case .drained, .maintenance: .primaryDrained(member.administrative)
    case .drainedByOperator: .primaryOrderedOut(byWindow: false)
    case .drainedByWindow: .primaryOrderedOut(byWindow: true)
    case .degraded(let score): .primaryDegraded(score: score)
    // A leader that was never probed leads by an operator's word that was since lifted, or led before the restart.
    case .notProbed, .roleUnknown, nil: .roleUnproved
    case .down(let failure): .primaryDown(failure)
    case .replica: .primaryDemoted
    }
  }

  // MARK: First election

  /// Before anybody led, the designated primary is worth waiting for, and more so the one of the last run: a backup must not win
  /// because its probe came back first, and a restart is no failover.
  private func firstElection(now: Instant) -> Ruling {
    if let override, override.pin || override.force, member(override.backend) != nil { return elects(override.backend) }
    let candidates = candidates(now: now)
    let expected = remembered ?? override?.backend
    if let expected, let member = member(expected), mayLead(member, now: now) { return elects(expected) }
    let mayWait = now < electsAnyoneFrom
    if mayWait, awaits(expected, now: now) { return .awaitsFirstVerdicts }
    guard let best = best(of: candidates) else { return mayWait ? .awaitsFirstVerdicts : .nobodyEligible(.nobodyEligible) }
    return best.designated || !mayWait || !awaitsDesignated(now: now) ? elects(best.id) : .awaitsFirstVerdicts
  }

  /// Whether the primary of the last run is known not to lead again by itself: another one would be elected now, or nobody can be.
  func hasLostRemembered(at now: Instant) -> Bool {
    guard leader == nil, let remembered else { return false }
    return switch firstElection(now: now) {
    case .changes(let change): change.to != remembered
    case .nobodyEligible: true
    case .noPrimary, .awaitsFirstVerdicts, .keeps, .keptByOverride, .delayed: false
    }
  }

  private func elects(_ id: BackendID) -> Ruling {
    let reason = id == remembered || id == override?.backend ? Reason.ledBefore : .firstElection
    return .changes(Ruling.Change(to: id, kind: .elected, reason: reason))
  }

  /// Whether the member that led before the restart may still show that it can lead again.
  func awaits(_ id: BackendID?, now: Instant) -> Bool {
    guard let id else { return false }
    return member(id).map { !$0.isSettled(at: now) } ?? !unresolvedDomains.isEmpty
  }

  private func awaitsDesignated(now: Instant) -> Bool {
    let awaitsItsName =
      !unresolvedDomains.isEmpty
      && specification.members.indices.contains { rank in
        specification.members[rank].domain.map(unresolvedDomains.contains) ?? false && designates(rank)
      }
    return awaitsItsName || !members.allSatisfy { !$0.designated || $0.isSettled(at: now) }
  }

  // MARK: Candidates

  func bestCandidate(now: Instant) -> Member? { best(of: candidates(now: now)) }

  /// The eligible members. Of servers that prove to be writable and say their timeline, only the latest: the others were left behind
  /// by a promotion, whatever a name says.
  private func candidates(now: Instant) -> [Member] {
    let able = members.filter { mayLead($0, now: now) }
    guard let latest = able.compactMap({ timeline($0, now: now) }).max() else { return able }
    return able.filter { timeline($0, now: now).map { $0 == latest } ?? true }
  }

  private func timeline(_ member: Member, now: Instant) -> UInt32? {
    guard member.provesRole, member.role(at: now) == .primary else { return nil }
    return member.replication?.timeline
  }

  /// The most preferred: designated, then named before departed, then those whose weight lets them take traffic, then the lower tier,
  /// then this host's zone, then configured order.
  private func best(of candidates: [Member]) -> Member? {
    candidates.min { a, b in
      if a.designated != b.designated { return a.designated }
      if (a.departure == nil) != (b.departure == nil) { return a.departure == nil }
      if (a.weight == 0) != (b.weight == 0) { return b.weight == 0 }
      if a.tier != b.tier { return a.tier < b.tier }
      if isLocal(a) != isLocal(b) { return isLocal(a) }
      return (position(a.id) ?? 0) < (position(b.id) ?? 0)
    }
  }

  // MARK: Changes

  private func replacement(because reason: Reason, of current: Member? = nil, now: Instant) -> Ruling {
    guard let best = bestCandidate(now: now) else { return .nobodyEligible(reason) }
    var change = Ruling.Change(to: best.id, kind: .failover, reason: reason)
    if let health = current?.health, health.isDown, let lastPassed = health.lastPassed {
      change.detection = health.since - lastPassed
    }
    return delayed(change, now: now)
  }

  private func delayed(_ change: Ruling.Change, now: Instant) -> Ruling {
    guard let delay = delay(of: change, now: now) else { return .changes(change) }
    return .delayed(change, delay)
  }

  /// What stands against an automatic change. A person's choice never comes here, and whoever drains the primary, or plans its
  /// maintenance, has asked for another one: no distance is kept from the last, nor from theirs.
  private func delay(of change: Ruling.Change, now: Instant) -> Ruling.Delay? {
    if !change.reason.isAskedFor {
      if let next = nextAllowedChange, next > now { return .minimumInterval(until: next) }
      if let end = automaticChanges.suspended(by: specification.maximumFailovers, at: now) { return .tooManyFailovers(until: end) }
    }
    if let candidate = member(change.to), isFrozen(candidate, at: now) { return .network }
    return nil
  }

  /// The change away from a working primary that is due: to the later of two writable servers, to where DNS moved the designation, or
  /// back to the preferred member.
  private func preference(over current: Member, now: Instant) -> Ruling.Change? {
    if let own = timeline(current, now: now), let best = bestCandidate(now: now), let other = timeline(best, now: now), other > own
    {
      return Ruling.Change(to: best.id, kind: .failover, reason: .higherTimeline(other, over: own))
    }
    guard let preferred = preferred(over: current, now: now) else { return nil }
    if leaderWasDesignated { return Ruling.Change(to: preferred.id, kind: .failover, reason: .designationMoved) }
    guard let due = failbackDue(preferred), now >= due else { return nil }
    let ready = preferred.eligibleSince.map { now - $0 } ?? .zero
    return Ruling.Change(to: preferred.id, kind: .failback, reason: .preferredReady(since: ready))
  }

  /// The eligible member that the group would rather have than a working primary.
  func preferred(over current: Member, now: Instant) -> Member? {
    // Where members testify, their word counts and not a name: two writable servers never alternate.
    guard !current.designated, !current.provesRole else { return nil }
    guard let best = bestCandidate(now: now), best.designated, best.id != current.id else { return nil }
    return best
  }

  func failbackDue(_ member: Member) -> Instant? {
    guard case .automatic(let delay) = specification.failback, let since = member.eligibleSince else { return nil }
    return since + delay
  }

  // MARK: Distance between changes

  /// Before it, no automatic change is made. What a person asked for does not count: a chosen primary that dies is replaced at once.
  var nextAllowedChange: Instant? { automaticChanges.instants.last.map { $0 + effectiveInterval(at: $0) } }

  /// `minimum_interval`, doubled as often as the group flaps.
  func effectiveInterval(at now: Instant) -> Duration {
    AutomaticChanges.interval(
      specification.minimumInterval, automaticChanges.doublings(of: specification.minimumInterval, at: now))
  }
}
