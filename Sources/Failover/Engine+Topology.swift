package import Model

/// Which groups there are.
extension Engine {
  /// Brings groups in line with what configuration and DNS describe together.
  mutating func configure(
    _ specifications: [GroupSpecification], gone: [GroupName], leaving: Leaving, now: Instant
  ) -> [Effect] {
    var round = Round()
    var described: Set<GroupName> = []
    for specification in specifications where described.insert(specification.name).inserted {
      guard let position = index[specification.name] else {
        add(Group(specification, claim: .described, host: host, now: now), now: now, in: &round)
        continue
      }
      guard let group = slots[position]?.group, group.isOutdated(by: specification) else { continue }
      unregister(position, from: group.sourceDomains)
      change(position, now: now, in: &round) { $0.reconfigure(specification, leaving: leaving, now: now, into: &$1) }
      register(position, for: slots[position]?.group.sourceDomains ?? [])
    }
    for name in gone {
      guard let position = index[name], let group = slots[position]?.group, group.claim != .api else { continue }
      switch leaving {
      case .atOnce: drop(position, because: .leftConfiguration, now: now, in: &round)
      case .afterHold where group.claim == .described:
        change(position, now: now, in: &round) { $0.dissolve(now: now, into: &$1) }
      case .afterHold: break
      }
    }
    return finish(round)
  }

  /// The file says something else about this host.
  package mutating func adopt(holdRemoved: Duration, zone: String?, now: Instant) -> [Effect] {
    guard holdRemoved != host.holdRemoved || zone != host.zone else { return [] }
    let host = Host(holdRemoved: holdRemoved, zone: zone)
    self.host = host
    return change(slots.indices.filter { slots[$0] != nil }, now: now) { group, _ in group.host = host }
  }

  /// What the names of the new group resolve to may be known already, and is not news to anybody but this group: an early lookup
  /// brings it.
  mutating func add(_ group: Group, now: Instant, in round: inout Round) {
    let position = freeSlots.popLast() ?? slots.count
    if position == slots.count { slots.append(nil) }
    var group = group
    if let memory = memories.removeValue(forKey: group.name) { group.restore(memory, wallClock, now: now) }
    slots[position] = Slot(group: group)
    index[group.name] = position
    register(position, for: group.sourceDomains)
    change(position, now: now, in: &round) { group, outcome in
      outcome.membershipChanged = !group.members.isEmpty
      outcome.lookUps = group.domains
      outcome.record(.groupCreated, reason: .configured)
    }
  }

  mutating func drop(_ position: Int, because reason: Reason, now: Instant, in round: inout Round) {
    guard let slot = slots[position] else { return }
    let name = slot.group.name
    unregister(position, from: slot.group.sourceDomains)
    slots[position] = nil
    freeSlots.append(position)
    index[name] = nil
    deadlines.remove(UInt32(position))
    network.answering -= slot.group.answering
    network.affected.remove(position)
    round.memories.append(.forget(name))
    round.removed.append(name)
    round.probes.append((name, []))
    record(Outcome.Draft(kind: .groupDeleted, from: nil, to: nil, reason: reason, evidence: []), of: name, now: now, in: &round)
  }

  mutating func register(_ position: Int, for domains: Set<DomainName>) {
    for domain in domains { users[domain, default: []].insert(position) }
  }

  mutating func unregister(_ position: Int, from domains: Set<DomainName>) {
    for domain in domains {
      users[domain]?.remove(position)
      if users[domain]?.isEmpty == true { users[domain] = nil }
    }
  }
}
