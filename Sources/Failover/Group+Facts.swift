import Model

/// What facts do to members. Nothing here decides who leads.
extension Group {
  mutating func probeFinished(_ report: ProbeReport, now: Instant, into outcome: inout Outcome) {
    guard let position = position(report.member.backend) else { return }
    let roleBefore = members[position].role(at: now)
    let check = members[position].check
    let wasFlawless = members[position].isFlawless
    let stateBefore = members[position].health.state
    let change: Health.Change
    switch report.outcome {
    case .passed(let latency, let role, let replication):
      if let role { members[position].proveRole(role, replication: replication, now: now) }
      change = members[position].health.probePassed(check: check, latency: latency, found: report.found, now: now)
    case .failed(let failure) where failure.kind == .local:
      // This host could not even ask. That says nothing about the member.
      change = .none
    case .failed(let failure):
      change = members[position].health.probeFailed(failure, check: check, now: now)
      if wasFlawless { outcome.lookUps.formUnion(domains(naming: members[position])) }
    }
    if change == .cameUp { startSlowly(position, from: stateBefore, now: now) }
    react(to: change, of: position, into: &outcome)
    let member = members[position]
    if member.provesRole, member.role(at: now) != roleBefore, member.role(at: now) != .unknown {
      outcome.record(.roleChanged, to: member.id, reason: .roleReported(member.role(at: now)), evidence: [member.evidence(at: now)])
    }
  }

  /// Takes in a pass that changes nothing but how long ago the member passed, how often, and how fast.
  ///
  /// - Returns: false where it may change more, or the group has yet to hear what is known about this host. Nothing was done then.
  mutating func takeRoutinePass(_ report: ProbeReport, suspicion: NetworkSuspicion, now: Instant) -> Bool {
    // Only a predictive group judges by the score.
    guard case .passed(let latency, nil, nil) = report.outcome, specification.predictive == nil, network == suspicion,
      let position = position(report.member.backend)
    else { return false }
    return members[position].takeRoutinePass(latency: latency, found: report.found, now: now)
  }

  mutating func dataPathFailed(_ signal: DataPathSignal, now: Instant, into outcome: inout Outcome) {
    // Why a member is down, and how far it has recovered, are for its probes to say: the resets of its last sessions arrive after
    // the verdict, and where only the probe's login is refused, one broken session must not end the others.
    guard let position = position(signal.member.backend), !members[position].health.isDown else { return }
    var change = Health.Change.doubted
    if let failure = signal.kind.failure {
      // A backend that moved is best found where it was announced: worth a look before the verdict.
      if members[position].isFlawless { outcome.lookUps.formUnion(domains(naming: members[position])) }
      change = members[position].health.dataPathFailed(failure, check: members[position].check, now: now)
      if change == .none { change = .doubted }
    }
    if change == .doubted {
      // A busy client can fail thousands of times a second; the member is asked again at most four times an interval.
      let pause = max(.milliseconds(20), members[position].check.interval / 4)
      if let last = members[position].lastEarlyProbe, now - last < pause { return }
      members[position].lastEarlyProbe = now
    }
    react(to: change, of: position, into: &outcome)
  }

  private func react(to change: Health.Change, of position: Int, into outcome: inout Outcome) {
    let member = members[position]
    switch change {
    case .none:
      break
    case .doubted:
      outcome.probesNow.insert(MemberKey(group: name, backend: member.id))
    case .cameUp:
      outcome.record(.healthChanged, to: member.id, reason: .probesPassed)
    case .wentDown(let failure):
      outcome.record(.healthChanged, to: member.id, reason: .probesFailed(failure))
      outcome.lookUps.formUnion(domains(naming: member))
    }
  }

  private func domains(naming member: Member) -> Set<DomainName> {
    claim == .dissolving ? [] : Set(member.namings.compactMap { specification.members[$0.rank].domain })
  }
}

extension Member {
  /// - Returns: false where the pass may change more than how often, how fast and how long ago the member passed. Nothing was done then.
  fileprivate mutating func takeRoutinePass(latency: Duration, found: Instant?, now: Instant) -> Bool {
    // Up and flawless, not degraded by a score that nobody asks for any more, and nothing is to be learned from an answer but its time.
    guard isFlawless, degradation == 0, !isFailing, !provesRole, reach.state == .answering || address.isOnThisHost else {
      return false
    }
    health.probePassedAgain(latency: latency, found: found, now: now)
    return true
  }

  /// It is up, and has not failed since its last pass.
  fileprivate var isFlawless: Bool { health.isUp && health.failures == 0 }
}
