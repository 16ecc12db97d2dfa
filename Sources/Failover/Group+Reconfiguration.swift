import Model

/// What a new description of a group does to it while it runs.
extension Group {
  /// Whether `described` says something that this group does not follow yet. A group of the API follows nobody.
  func isOutdated(by described: GroupSpecification) -> Bool {
    switch claim {
    case .api: false
    case .described: self.described != described
    case .dissolving: true
    }
  }

  /// Follows another description. Members that are still named keep their health, role and place; those of sources that are gone are
  /// absent, or go at once.
  mutating func reconfigure(_ described: GroupSpecification, leaving: Leaving, now: Instant, into outcome: inout Outcome) {
    let returns = claim == .dissolving
    outcome.record(
      .groupChanged, from: leader, to: leader,
      reason: returns ? .configured : .describedOtherwise(self.described.differences(from: described)))
    var new = described
    new.members += added
    claim = .described
    follow(new, leaving: leaving, returns: returns, now: now, into: &outcome)
  }

  /// What configuration and DNS say, without what was added by request.
  private var described: GroupSpecification {
    var described = specification
    described.members.removeLast(min(added.count, described.members.count))
    return described
  }

  mutating func follow(
    _ new: GroupSpecification, leaving: Leaving, returns: Bool = false, now: Instant, into outcome: inout Outcome
  ) {
    let old = specification
    specification = new
    if (old.balance, old.holdTimeout, old.drainTimeout, old.connections)
      != (new.balance, new.holdTimeout, new.drainTimeout, new.connections)
    {
      isAnnounced = false
    }
    renumberNamings(from: old)
    makeRoomForFixed(now: now, into: &outcome)
    insertFixed(now: now, into: &outcome)
    let known = returns || old.allowedRanges != new.allowedRanges ? [] : Set(old.members.map(\.asked))
    let unknown = Set(new.members.filter { !known.contains($0.asked) }.compactMap(\.domain))
    let oldDomains = Set(old.members.compactMap(\.domain))
    unresolvedDomains = unresolvedDomains.intersection(sourceDomains).union(sourceDomains.subtracting(oldDomains))
    refused = refused.filter { sourceDomains.contains($0.key) }
    outcome.lookUps.formUnion(unknown)
    if Set(old.members.filter(\.isPrimary).map(\.origin)) != Set(new.members.filter(\.isPrimary).map(\.origin)) {
      // Somebody marked another source: an instruction, whoever leads now.
      leaderWasDesignated = true
    }
    // A normal group has a primary only where somebody named one.
    if old.mode != new.mode, new.mode == .normal, !marksPrimary, override == nil {
      leader = nil
      remembered = nil
    }
    if !new.shadow || leader == nil { shadowPrimary = nil }
    if leader == nil, !hasServed { electsAnyoneFrom = now + new.holdTimeout }
    rederiveAttributes(now: now, into: &outcome)
    if new.pin, !old.pin { pinAsConfigured() }
    if leaving == .atOnce {
      remove(members.filter { $0.namings.isEmpty && $0.rank == new.members.count }, now: now, into: &outcome)
    }
  }

  /// Nobody describes the group any more: its members are absent, and it goes with the last of them.
  mutating func dissolve(now: Instant, into outcome: inout Outcome) {
    claim = .dissolving
    outcome.record(.groupChanged, from: leader, to: leader, reason: .leftConfiguration)
    rederiveAttributes(now: now, into: &outcome)
  }

  /// Sources are the same where their origin is, whatever their place and attributes.
  private mutating func renumberNamings(from old: GroupSpecification) {
    let ranks = Dictionary(grouping: specification.members.indices) { specification.members[$0].origin }
    let moved = old.members.map { ranks[$0.origin] ?? [] }
    for position in members.indices {
      let before = members[position]
      var namings: [Member.Naming] = []
      for naming in before.namings {
        for rank in moved[naming.rank] where !namings.contains(where: { $0.rank == rank }) {
          namings.append(Member.Naming(rank: rank, tier: naming.tier, weight: naming.weight))
        }
      }
      members[position].namings = namings.sorted { $0.rank < $1.rank }
      if !namings.isEmpty { continue }
      // A source that is gone comes after all that are not.
      let last = before.rank < moved.count ? moved[before.rank].first : nil
      members[position].rank = last ?? specification.members.count
    }
  }

  /// A configured backend that changed its address, or its id, is another one. The old one's hold time must not keep it out.
  private mutating func makeRoomForFixed(now: Instant, into outcome: inout Outcome) {
    var ids: [BackendID: SocketAddress] = [:]
    var addresses: [SocketAddress: BackendID] = [:]
    for case .fixed(let id, let address) in specification.members.map(\.origin) where addresses[address] == nil && ids[id] == nil {
      ids[id] = address
      addresses[address] = id
    }
    let inTheWay = members.filter { member in
      let idMoved = ids[member.id].map { $0 != member.address } ?? false
      let addressMoved = addresses[member.address].map { $0 != member.id } ?? false
      return member.namings.isEmpty && (idMoved || addressMoved)
    }
    remove(inTheWay, now: now, into: &outcome)
  }
}

extension MemberSource {
  /// What discovery is asked for this source. Another record of the same name brings other endpoints.
  fileprivate struct Asked: Hashable {
    let origin: Origin
    let record: RecordKind
  }

  fileprivate var asked: Asked { Asked(origin: origin, record: record) }
}

extension GroupSpecification {
  /// The parts that differ, in the configuration's words.
  fileprivate func differences(from other: GroupSpecification) -> [String] {
    let parts = [
      ("mode", mode == other.mode), ("members", members == other.members), ("balance", balance == other.balance),
      ("failback", failback == other.failback), ("minimum_interval", minimumInterval == other.minimumInterval),
      ("maximum_failovers", maximumFailovers == other.maximumFailovers), ("pin", pin == other.pin),
      ("shadow", shadow == other.shadow), ("zone_affinity", zoneAffinity == other.zoneAffinity),
      ("slow_start", slowStart == other.slowStart), ("predictive", predictive == other.predictive),
      ("hold_timeout", holdTimeout == other.holdTimeout), ("drain_timeout", drainTimeout == other.drainTimeout),
      ("maximum_connections", connections.maximum == other.connections.maximum),
      ("connect_hedge", connections.hedge == other.connections.hedge),
      ("proxy_protocol", connections.proxyProtocol == other.connections.proxyProtocol),
      ("allowed_cidrs", allowedRanges == other.allowedRanges),
    ]
    return parts.filter { !$0.1 }.map(\.0)
  }
}
