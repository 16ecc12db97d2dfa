import Model

/// Taking over a change of the routing table: linear in the groups it names, however many there are, and only what differs touches
/// sessions.
extension Worker where E: ~Copyable {
  mutating func apply(_ change: RoutingChange) {
    var changed: Set<Int32> = []
    let removed = change.removed.compactMap { groupNumbers[$0] }
    for number in removed { remove(number, &changed) }
    for route in change.changed { update(groupNumber(for: route.name), to: route, &changed) }
    // After everybody knows the new table: a session that leaves one backend is given another by it.
    for backend in changed { applyStandings(backend) }
    for number in Set(removed) { reclaimIfUnused(number) }
  }

  /// The number of a group, known before or not.
  mutating func groupNumber(for name: GroupName) -> Int32 {
    if let known = groupNumbers[name] { return known }
    let number = groups.insert(GroupSlot(name: name))
    groupNumbers[name] = number
    return number
  }

  // MARK: Groups

  private mutating func update(_ number: Int32, to route: GroupRoute, _ changed: inout Set<Int32>) {
    groupsVisited += 1
    let group = groups[number]
    let servedPrimary = primaryServers(group)
    var servesStill = false
    let hasNewTimeout = group.pointee.isInTable && group.pointee.drainTimeout != route.drainTimeout
    group.pointee.isInTable = true
    group.pointee.balance = route.balance
    group.pointee.holdTimeout = route.holdTimeout
    group.pointee.drainTimeout = route.drainTimeout
    let known = group.pointee.members + group.pointee.departed
    var matcher = MemberMatcher(known: known)
    var members: [Int32] = []
    members.reserveCapacity(route.members.count)
    for backend in known { backends[backend].pointee.isInTable = false }
    for (position, member) in route.members.enumerated() {
      if let backend = matcher.match(member, at: position, in: backends) {
        let slot = backends[backend]
        if slot.pointee.standing.primary == .serve, member.standing.primary == .serve { servesStill = true }
        slot.pointee.isInTable = true
        slot.pointee.weigh(as: member)
        setStanding(backend, member.standing, &changed)
        members.append(backend)
      } else {
        members.append(backends.insert(BackendSlot(member, group: number)))
      }
    }
    for backend in members { estimateLatency(of: backend, route.balance == .peakEWMA) }
    if !servedPrimary.isEmpty, !servesStill {
      beginFailover(group.pointee.routes[ListenerRole.primary.ordinal], lost: servedPrimary)
    }
    if hasNewTimeout { changed.formUnion(known.filter { backends[$0].pointee.activity != .noSlot }) }
    group.pointee.members = members
    group.pointee.departed = []
    for backend in known where !backends[backend].pointee.isInTable { depart(backend, from: group, &changed) }
    rebuildRoutes(group)
  }

  private mutating func remove(_ number: Int32, _ changed: inout Set<Int32>) {
    groupsVisited += 1
    let group = groups[number]
    let members = group.pointee.members
    group.pointee.isInTable = false
    group.pointee.members = []
    for backend in members {
      backends[backend].pointee.isInTable = false
      depart(backend, from: group, &changed)
    }
    // Nobody is to take over what is not there any more.
    let primary = group.pointee.routes[ListenerRole.primary.ordinal]
    if primary != .noSlot { routes[primary].pointee.failover = nil }
    rebuildRoutes(group)
  }

  /// No longer named: its sessions drain, unless they were to go sooner.
  private mutating func depart(_ backend: Int32, from group: UnsafeMutablePointer<GroupSlot>, _ changed: inout Set<Int32>) {
    let slot = backends[backend]
    guard slot.pointee.activity != .noSlot else { return removeBackend(backend) }
    group.pointee.departed.insert(backend)
    let old = slot.pointee.standing
    let departed = Standings(primary: old.primary.afterDeparture, replica: old.replica.afterDeparture, any: old.any.afterDeparture)
    setStanding(backend, departed, &changed)
  }

  /// Who serves the primary role, as far as somebody listens for it: of a failover that nobody can notice there is nothing to measure.
  private func primaryServers(_ group: UnsafeMutablePointer<GroupSlot>) -> [Int32] {
    guard group.pointee.routes[ListenerRole.primary.ordinal] != .noSlot else { return [] }
    return group.pointee.members.filter { backends[$0].pointee.standing.primary == .serve }
  }

  // MARK: Routes

  /// The route for a listener of a group, made when there is none.
  mutating func routeNumber(_ group: Int32, _ role: ListenerRole) -> RouteNumber {
    let known = groups[group].pointee.routes[role.ordinal]
    guard known == .noSlot else { return known }
    let number = routes.insert(Route())
    groups[group].pointee.routes[role.ordinal] = number
    rebuildRoute(groups[group], role)
    return number
  }

  private mutating func rebuildRoutes(_ group: UnsafeMutablePointer<GroupSlot>) {
    for role in ListenerRole.allCases where group.pointee.routes[role.ordinal] != .noSlot { rebuildRoute(group, role) }
  }

  private mutating func rebuildRoute(_ group: UnsafeMutablePointer<GroupSlot>, _ role: ListenerRole) {
    let serving = group.pointee.members.compactMap { number -> Balancer.Member? in
      let slot = backends[number]
      guard slot.pointee.standing[role] == .serve else { return nil }
      return Balancer.Member(
        backend: number, name: slot.pointee.name, weight: slot.pointee.weight, share: slot.pointee.share)
    }
    let number = group.pointee.routes[role.ordinal]
    let route = routes[number]
    let appeared = route.pointee.balancer.replace(serving, balance: group.pointee.balance)
    if appeared, !route.pointee.held.isEmpty {
      route.pointee.pacing.candidateAppeared(now: now)
      schedulePace(number)
    }
  }

  /// A group that neither the table nor a listener names goes, so that groups made and deleted through the API leave nothing behind.
  /// Nobody uses it then: a session keeps the listener it came through.
  mutating func reclaimIfUnused(_ number: Int32) {
    groupsVisited += 1
    let group = groups[number]
    guard !group.pointee.isInTable, !group.pointee.hasRoutes else { return }
    groupNumbers[group.pointee.name] = nil
    phases[number] = nil
    groups.remove(number)
  }

  // MARK: Standings

  private mutating func setStanding(_ backend: Int32, _ standing: Standings, _ changed: inout Set<Int32>) {
    let slot = backends[backend]
    guard slot.pointee.standing != standing else { return }
    let old = slot.pointee.standing
    slot.pointee.standing = standing
    guard slot.pointee.activity != .noSlot else { return }
    for role in ListenerRole.allCases where old[role] != standing[role] {
      activities[slot.pointee.activity].pointee.standingSince[role.ordinal] = now
    }
    changed.insert(backend)
  }

  /// Fences the connects in flight, and puts every session that may not stay before a decision. Those run as deadlines, a bounded
  /// number per pass, so that the end of ten thousand sessions does not stop the rest.
  private mutating func applyStandings(_ backend: Int32) {
    let slot = backends[backend]
    let standing = slot.pointee.standing
    guard slot.pointee.activity != .noSlot else { return }
    var index = activities[slot.pointee.activity].pointee.sessions.first
    while index != Links.none {
      let next = sessions[index].pointee.backendLinks.next
      let current = standing[listener(of: index).pointee.role]
      switch (sessions[index].pointee.phase, current) {
      case (.connecting, .serve), (.relaying, .serve), (.relaying, .idle): break
      case (.connecting, _): attemptFailed(index, .fenced)
      case (.relaying, _): deadlines.set(index, at: now)
      case (.free, _), (.waitingForFirstByte, _), (.held, _), (.closing, _): break
      }
      index = next
    }
  }
}

extension Standing {
  fileprivate var afterDeparture: Standing {
    switch self {
    case .serve, .idle, .drain: .drain
    case .demoted: .demoted
    case .dead: .dead
    }
  }
}

/// Finds the slot that a member had: first at its old position, which is where nearly all of them are, else by name and address.
private struct MemberMatcher {
  private struct Identity: Hashable {
    let backend: BackendID
    let address: SocketAddress
  }

  private let known: [Int32]
  private var byIdentity: [Identity: Int32]?

  init(known: [Int32]) { self.known = known }

  /// Nil for a newcomer, and for a second member of the same identity.
  mutating func match(_ member: MemberRoute, at position: Int, in backends: borrowing SlotTable<BackendSlot>) -> Int32? {
    let backend: Int32?
    if position < known.count, backends[known[position]].pointee.is(member) {
      backend = known[position]
    } else {
      if byIdentity == nil {
        byIdentity = Dictionary(
          known.map { (Identity(backend: backends[$0].pointee.name, address: backends[$0].pointee.address), $0) },
          uniquingKeysWith: { first, _ in first })
      }
      backend = byIdentity?[Identity(backend: member.backend, address: member.address)]
    }
    return backend.flatMap { backends[$0].pointee.isInTable ? nil : $0 }
  }
}
