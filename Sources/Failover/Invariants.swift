package import Model

/// What must hold after every event. Called by tests and simulations; production pays nothing for it.
extension Engine {
  /// - Returns: one line per violation, empty when all is well.
  package func violations(at now: Instant) -> [String] {
    var found = indexViolations()
    for case let slot? in slots {
      let group = slot.group
      let route = group.announcedRoute
      if !group.isAnnounced { found.append("\(group.name): the proxies were not told of the last change") }
      if route.members.map(\.backend) != group.members.map(\.id) { found.append("\(group.name): the table's members differ") }
      if Set(group.members.map(\.address)).count != group.members.count { found.append("\(group.name): one address twice") }
      for (member, route) in zip(group.members, route.members) where member.administrative != .inService {
        if ListenerRole.allCases.contains(where: { route.standing[$0] == .serve }) {
          found.append("\(group.name): routes to \(member.id), which is \(member.administrative.rawValue)")
        }
      }
      for member in group.members {
        if member.announced.share > 100 { found.append("\(group.name): \(member.id) has more than its whole share") }
        if member.orders != group.standingOrders[member.id] ?? [] { found.append("\(group.name): \(member.id) ignores an order") }
        if member.isEjected, !group.members.contains(where: { !$0.isEjected && $0.plainObstacle == nil }) {
          found.append("\(group.name): \(member.id) is ejected, and nobody is better")
        }
      }
      found += leadershipViolations(group, now)
      if group.isGone { found.append("\(group.name): dissolved, and still there") }
      if group.specification.mode == .activePassive { found += activePassiveViolations(group, route, now) }
    }
    return found
  }

  private func indexViolations() -> [String] {
    var found: [String] = []
    var users: [DomainName: Set<Int>] = [:]
    for (position, slot) in slots.enumerated() {
      guard let group = slot?.group else { continue }
      if index[group.name] != position { found.append("\(group.name): is not found by its name") }
      for domain in group.sourceDomains { users[domain, default: []].insert(position) }
    }
    if index.count + freeSlots.count != slots.count { found.append("slots are lost") }
    if users != self.users { found.append("groups are not found by their domains") }
    let answering = slots.reduce(0) { $0 + ($1?.group.answering ?? 0) }
    if answering != network.answering { found.append("\(network.answering) members are said to answer, and \(answering) do") }
    return found
  }

  /// About who leads, and what is kept to decide it.
  private func leadershipViolations(_ group: Group, _ now: Instant) -> [String] {
    var found: [String] = []
    if case .changes(let change) = group.ruling(at: now) {
      found.append("\(group.name): \(change.to) is due to be the primary, and is not")
    }
    if let override = group.override, let leader = group.leader, leader != override.backend {
      found.append("\(group.name): \(leader) leads against the choice of \(override.backend)")
    }
    if group.shadowPrimary != nil, !group.specification.shadow || group.shadowPrimary == group.leader {
      found.append("\(group.name): has a shadow primary for no reason")
    }
    if group.remembered != nil, group.leader != nil { found.append("\(group.name): waits for a primary that it has") }
    let changes = group.automaticChanges.instants
    if changes.count > AutomaticChanges.mostCounted || group.failures.count > Group.mostFailures {
      found.append("\(group.name): remembers too much")
    }
    if changes != changes.sorted() || changes.contains(where: { $0 > now }) {
      found.append("\(group.name): its changes are out of order")
    }
    let next = group.nextAllowedChange
    if let next, let last = group.automaticChanges.instants.last, next - last < group.specification.minimumInterval {
      found.append("\(group.name): the interval is shorter than the plain one")
    }
    let answering = group.members.count { $0.reach.state == .answering }
    if answering != group.answering { found.append("\(group.name): \(answering) members answer, not \(group.answering)") }
    return found
  }

  private func activePassiveViolations(_ group: Group, _ route: GroupRoute, _ now: Instant) -> [String] {
    var found: [String] = []
    let serving = route.serving(.primary)
    if serving.count > 1 { found.append("\(group.name): routes to \(serving.count) members at once") }
    for id in serving {
      guard let member = group.member(id) else { continue }
      if id != group.leader { found.append("\(group.name): routes to \(id), which is not the primary") }
      if member.provesRole, member.role(at: now) != .primary { found.append("\(group.name): \(id) is not proved writable") }
      let forced = group.override?.force == true && group.override?.backend == id
      if !member.health.isUp && !forced { found.append("\(group.name): routes to \(id), which is not up") }
    }
    return found
  }
}
