import Model

/// What facts do to members. Nothing here decides who leads.
extension Group {
  mutating func probeFinished(_ report: ProbeReport, now: Instant, into outcome: inout Outcome) {
    guard let position = position(report.member.backend) else { return }
    let roleBefore = members[position].role(at: now)
    let check = members[position].check
    let change: Health.Change
    switch report.outcome {
    case .passed(let latency, let role):
      if let role { members[position].proveRole(role, now: now) }
      change = members[position].health.probePassed(latency: latency, check: check, now: now)
    case .failed(let failure) where failure.kind == .local:
      // This host could not even ask. That says nothing about the member.
      change = .none
    case .failed(let failure):
      change = members[position].health.probeFailed(failure, check: check, now: now)
    }
    react(to: change, of: position, into: &outcome)
    let member = members[position]
    if check.provesRole, member.role(at: now) != roleBefore, member.role(at: now) != .unknown {
      outcome.record(.roleChanged, to: member.id, reason: .roleReported(member.role(at: now)), evidence: [member.evidence(at: now)])
    }
  }

  mutating func dataPathFailed(_ signal: DataPathSignal, now: Instant, into outcome: inout Outcome) {
    // Why a member is down, and how far it has recovered, are for its probes to say: the resets of its last sessions arrive after
    // the verdict, and where only the probe's login is refused, one broken session must not end the others.
    guard let position = position(signal.member.backend), !members[position].health.isDown else { return }
    var change = Health.Change.doubted
    if let failure = signal.kind.failure {
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
      if case .named(let domains) = member.discovered { outcome.lookUps.formUnion(domains) }
    }
  }

  /// Brings the members in line with what discovery knows of `domain`. A failure changes nothing: only an answer or an
  /// authoritative "no such name" does.
  mutating func discoveryUpdated(_ update: DiscoveryUpdate, now: Instant, into outcome: inout Outcome) {
    let addresses: [IPAddress]
    switch update.outcome {
    case .answer(let found): addresses = found
    case .empty: addresses = []
    case .failed: return
    }
    unresolvedDomains.remove(update.domain)
    for (rank, source) in specification.members.enumerated() {
      guard case .domain(update.domain, let port) = source.origin else { continue }
      let wanted = Set(addresses.map { SocketAddress.ip($0, port: port) })
      for member in members where !wanted.contains(member.address) { namedBy[member.id]?.remove(rank) }
      for address in addresses.map({ SocketAddress.ip($0, port: port) }) {
        let id = BackendID(domain: update.domain, address: address)
        guard insert(id: id, address: address, rank: rank, discovered: .named([update.domain]), now: now) else { continue }
        outcome.membershipChanged = true
        outcome.record(.memberAdded, to: id, reason: .appearedInDNS(update.domain))
      }
    }
    rederiveAttributes(now: now, into: &outcome)
  }

  /// Rank, weight, check and designation follow from the sources that name a member now.
  mutating func rederiveAttributes(now: Instant, into outcome: inout Outcome) {
    for position in members.indices {
      let before = members[position]
      if before.id == leader, before.designated { leaderWasDesignated = true }
      guard let ranks = namedBy[before.id], let first = ranks.min() else {
        if !before.isAbsent { members[position].discovered = .absent(since: now) }
        members[position].designated = false
        continue
      }
      let source = specification.members[first]
      members[position].rank = first
      members[position].proto = source.proto
      members[position].weight = source.weight
      members[position].zone = source.zone
      members[position].check = source.check
      members[position].designated = ranks.contains { specification.members[$0].isPrimary }
      var domains: Set<DomainName> = []
      var configured = false
      for rank in ranks {
        switch specification.members[rank].origin {
        case .fixed: configured = true
        case .domain(let domain, _): domains.insert(domain)
        }
      }
      members[position].discovered = configured ? .configured : .named(domains)
      if members[position].check != before.check { outcome.membershipChanged = true }
    }
    reindex()
  }

  /// Members no name leads to go when the hold time is over, sooner when they fail their probes as well.
  mutating func removeAbsent(now: Instant, into outcome: inout Outcome) {
    for member in members {
      guard case .absent(let since) = member.discovered else { continue }
      guard member.health.isDown || now - since >= holdRemoved else { continue }
      outcome.membershipChanged = true
      outcome.record(.memberRemoved, from: member.id, reason: .leftDNS, evidence: [member.evidence(at: now)])
      remove(member.id)
    }
  }
}
