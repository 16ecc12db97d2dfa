import Model

/// What a suspicion against this host means for one group.
extension Group {
  /// What a report says about the network, if anything.
  enum NetworkNews {
    case answered, fell
  }

  mutating func hear(_ report: ProbeReport) -> NetworkNews? {
    guard let position = position(report.member.backend), !members[position].address.isOnThisHost else { return nil }
    let before = members[position].reach.state
    if report.outcome.isSilence {
      members[position].reach.state = .silent
      if before != .answering { return nil }
      answering -= 1
      return .fell
    }
    members[position].reach.state = .answering
    if before != .answering { answering += 1 }
    return .answered
  }

  mutating func fell(_ backend: BackendID, in run: UInt16) {
    if let position = position(backend) { members[position].reach.run = run }
  }

  /// The member fell silent when this host was suspected, and has not had the time to come back since.
  func deservesDoubt(_ member: Member, at now: Instant) -> Bool {
    guard network.run != 0, member.reach.run == network.run else { return false }
    return network.holds || doubtEnds(member).map { now < $0 } ?? false
  }

  /// What becomes of the sessions of a member that is down. Silence says nothing about it while this host is suspected: nobody new,
  /// and nobody is thrown out.
  func end(of failure: ProbeFailure, _ member: Member, now: Instant) -> Standing {
    failure.kind.isSilence && deservesDoubt(member, at: now) ? .idle : failure.kind.end
  }

  /// Nil while nobody knows.
  func doubtEnds(_ member: Member) -> Instant? {
    guard network.run != 0, member.reach.run == network.run, let ended = network.ended else { return nil }
    // The probe that is under way, and the passes it takes to be up again.
    return ended + member.check.timeout + max(member.check.interval, member.check.timeout) * member.check.healthyThreshold
  }

  /// Whether a change to `candidate` has to wait until it is clear that the network works.
  func isFrozen(_ candidate: Member, at now: Instant) -> Bool {
    if candidate.address.isOnThisHost { return false }
    if network.holds { return true }
    // Both were silent: the primary has the same right to be asked again.
    guard candidate.reach.run == network.run, let current = incumbent.flatMap(member) else { return false }
    return current.health.isSilent && deservesDoubt(current, at: now)
  }
}

extension Health {
  /// Down, and nobody answered.
  var isSilent: Bool { if case .down(let failure) = state { failure.kind.isSilence } else { false } }
}
