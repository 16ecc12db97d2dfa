import Model

/// What names and descriptions do to membership.
extension Group {
  /// Brings the members in line with what discovery knows of a domain. A failure changes nothing: only an answer or an
  /// authoritative "no such name" does. An answer from an earlier run is as good as any: it is the last thing that was known.
  mutating func discoveryUpdated(_ update: DiscoveryUpdate, now: Instant, into outcome: inout Outcome) {
    let endpoints: [DiscoveredEndpoint]
    switch update.outcome {
    case .answer(let found):
      endpoints = found.filter { isAllowed($0.address) }
      noteRefused(found, of: update.domain, into: &outcome)
      if endpoints.isEmpty && !found.isEmpty { return }
    case .empty:
      endpoints = []
      refused[update.domain] = nil
    case .failed:
      return
    }
    unresolvedDomains.remove(update.domain)
    // An emptied set keeps its memory.
    if unresolvedDomains.isEmpty { unresolvedDomains = [] }
    for (rank, source) in specification.members.enumerated() {
      guard case .domain(update.domain, let port) = source.origin else { continue }
      name(endpoints, by: rank, port: port, update, now: now, into: &outcome)
    }
    rederiveAttributes(unnamedAre: update.isDrained ? .drained(since: now) : .absent(since: now), now: now, into: &outcome)
  }

  private mutating func name(
    _ endpoints: [DiscoveredEndpoint], by rank: Int, port: UInt16?, _ update: DiscoveryUpdate, now: Instant,
    into outcome: inout Outcome
  ) {
    // RFC 2782: weights that are all 0 state no preference. Among others, 0 takes no share.
    let tiersWithPreference = Set(endpoints.lazy.filter { $0.weight != 0 }.map(\.tier))
    var named: Set<SocketAddress> = []
    // Growth by doubling would waste more than it saves: most groups never grow again.
    members.reserveCapacity(max(members.count, endpoints.count))
    for endpoint in endpoints {
      guard let port = endpoint.port ?? port else { continue }
      let address = SocketAddress.ip(endpoint.address, port: port)
      // Twice only where one record names the configured port and another none: the lower tier comes first and counts.
      guard named.insert(address).inserted, claim != .dissolving else { continue }
      let weight = endpoint.weight == 0 && !tiersWithPreference.contains(endpoint.tier) ? 1 : endpoint.weight
      let id = BackendID(domain: update.domain, address: address)
      let naming = Member.Naming(rank: rank, tier: endpoint.tier, weight: weight)
      guard insert(id: id, address: address, naming: naming, now: now) else { continue }
      outcome.membershipChanged = true
      outcome.record(.memberAdded, to: id, reason: .appearedInDNS(update.domain, age: update.age))
    }
    for position in members.indices where !named.contains(members[position].address) {
      let count = members[position].namings.count
      members[position].namings.removeAll { $0.rank == rank }
      // Who left the answer a moment before the record that says why is meant as well.
      let wasNamed = members[position].namings.count < count || members[position].rank == rank
      if update.isDrained, wasNamed, members[position].namings.isEmpty, case .absent = members[position].departure {
        members[position].departure = .drained(since: now)
      }
    }
  }

  // MARK: Refused addresses

  private func isAllowed(_ address: IPAddress) -> Bool {
    specification.allowedRanges.isEmpty || specification.allowedRanges.contains { $0.contains(address) }
  }

  /// One record per change, however often the answer is repeated.
  private mutating func noteRefused(_ found: [DiscoveredEndpoint], of domain: DomainName, into outcome: inout Outcome) {
    let before = refused[domain] ?? []
    let after = Set(found.map(\.address).filter { !isAllowed($0) })
    refused[domain] = after.isEmpty ? nil : after
    if after.isSubset(of: before) { return }
    refusedAddresses += UInt64(after.subtracting(before).count)
    outcome.record(.addressRefused, reason: .notAllowed(after.sorted()), evidence: ["\(domain)"])
  }

  // MARK: What follows from who names a member

  /// Rank, tier, weight, check, maintenance and designation follow from the sources that name a member now.
  ///
  /// - Parameter unnamedAre: what becomes of members that nothing names any more since just now.
  mutating func rederiveAttributes(
    unnamedAre departure: Member.Departure? = nil, now: Instant, into outcome: inout Outcome
  ) {
    let lowestTiers = lowestTiersOfServices
    for position in members.indices {
      let before = members[position]
      if before.id == incumbent, before.designated { leaderWasDesignated = true }
      guard claim != .dissolving, let first = before.namings.first else {
        if before.departure == nil { members[position].departure = departure ?? .absent(since: now) }
        members[position].designated = false
        // Who leaves during its maintenance does not come back into service by that.
        if before.rank < specification.members.count, specification.members[before.rank].maintenance {
          members[position].isInMaintenance = true
        }
        continue
      }
      members[position].departure = nil
      members[position].adopt(sources[first.rank], first)
      members[position].isInMaintenance = before.namings.contains { specification.members[$0.rank].maintenance }
      members[position].designated = before.namings.contains {
        designates($0.rank) && $0.tier == lowestTiers[$0.rank, default: $0.tier]
      }
      if members[position].check != before.check { outcome.membershipChanged = true }
    }
    reindex()
  }

  /// Whether what this source names is the primary. Of an SRV name that is its lowest tier.
  func designates(_ rank: Int) -> Bool {
    let source = specification.members[rank]
    return source.isPrimary || (source.record == .srv && specification.mode == .activePassive && !marksPrimary)
  }

  /// Whether a source is marked as the primary.
  var marksPrimary: Bool { specification.members.contains { $0.isPrimary } }

  private var lowestTiersOfServices: [Int: UInt16] {
    var lowest: [Int: UInt16] = [:]
    for member in members {
      for naming in member.namings where specification.members[naming.rank].record == .srv {
        lowest[naming.rank] = min(lowest[naming.rank] ?? .max, naming.tier)
      }
    }
    return lowest
  }

  func discovered(_ member: Member) -> Member.Discovered {
    switch member.departure {
    case .absent(let since): return .absent(since: since)
    case .drained(let since): return .drained(since: since)
    case nil: break
    }
    let domains = member.namings.compactMap { specification.members[$0.rank].domain }
    return domains.count < member.namings.count ? .configured : .named(Set(domains))
  }

  // MARK: Leaving

  /// Members nothing leads to go when their time is over, sooner when they fail their probes as well.
  mutating func removeDeparted(now: Instant, into outcome: inout Outcome) {
    let going = members.filter { member in removalDue(member).map { member.health.isDown || $0 <= now } ?? false }
    remove(going, now: now, into: &outcome)
  }

  mutating func remove(_ going: [Member], now: Instant, into outcome: inout Outcome) {
    if going.isEmpty { return }
    outcome.membershipChanged = true
    for member in going {
      outcome.record(.memberRemoved, from: member.id, reason: reasonOfRemoval(member), evidence: [member.evidence(at: now)])
      if member.reach.state == .answering { answering -= 1 }
    }
    let ids = Set(going.map(\.id))
    members.removeAll { ids.contains($0.id) }
    isAnnounced = false
    reindex()
  }

  func removalDue(_ member: Member) -> Instant? {
    switch member.departure {
    case .absent(let since): since + holdRemoved
    case .drained(let since): since + holdRemoved + specification.drainTimeout
    case nil: nil
    }
  }

  private func reasonOfRemoval(_ member: Member) -> Reason {
    if case .drained = member.departure { return .drainedByDNS }
    return claim == .dissolving || member.rank >= specification.members.count ? .leftConfiguration : .leftDNS
  }
}
