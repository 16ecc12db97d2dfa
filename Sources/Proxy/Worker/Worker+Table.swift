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
    let numbers = InlineArray<3, RouteNumber> { _ in routes.insert(Route()) }
    let number = groups.insert(GroupSlot(name: name, routes: numbers))
    groupNumbers[name] = number
    return number
  }

  // MARK: Groups

  private mutating func update(_ number: Int32, to route: GroupRoute, _ changed: inout Set<Int32>) {
    groupsVisited += 1
    let group = groups[number]
    group.pointee.isInTable = true
    group.pointee.holdTimeout = route.holdTimeout
    let known = group.pointee.members + group.pointee.departed
    var matcher = MemberMatcher(known: known)
    var members: [Int32] = []
    members.reserveCapacity(route.members.count)
    for backend in known { backends[backend].pointee.isInTable = false }
    for (position, member) in route.members.enumerated() {
      if let backend = matcher.match(member, at: position, in: backends) {
        backends[backend].pointee.isInTable = true
        backends[backend].pointee.drainTimeout = route.drainTimeout
        setStanding(backend, member.standing, &changed)
        members.append(backend)
      } else {
        let key = MemberKey(group: route.name, backend: member.backend)
        members.append(backends.insert(BackendSlot(member: key, route: member, drainTimeout: route.drainTimeout, now: now)))
      }
    }
    group.pointee.members = members
    group.pointee.departed = []
    for backend in known where !backends[backend].pointee.isInTable {
      depart(backend, from: group, drainTimeout: route.drainTimeout, &changed)
    }
    rebuildRoutes(number, members: zip(members, route.members).map { ($0, $1) }, balance: route.balance)
  }

  private mutating func remove(_ number: Int32, _ changed: inout Set<Int32>) {
    groupsVisited += 1
    let group = groups[number]
    let members = group.pointee.members
    group.pointee.isInTable = false
    group.pointee.members = []
    for backend in members {
      backends[backend].pointee.isInTable = false
      depart(backend, from: group, drainTimeout: backends[backend].pointee.drainTimeout, &changed)
    }
    rebuildRoutes(number, members: [], balance: .roundRobin)
  }

  /// No longer named: its sessions drain, unless they were to go sooner.
  private mutating func depart(
    _ backend: Int32, from group: UnsafeMutablePointer<GroupSlot>, drainTimeout: Duration, _ changed: inout Set<Int32>
  ) {
    let slot = backends[backend]
    guard !slot.pointee.sessions.isEmpty else { return backends.remove(backend) }
    group.pointee.departed.insert(backend)
    let hasNewTimeout = slot.pointee.drainTimeout != drainTimeout
    slot.pointee.drainTimeout = drainTimeout
    let old = slot.pointee.standing
    let departed = Standings(primary: old.primary.afterDeparture, replica: old.replica.afterDeparture, any: old.any.afterDeparture)
    if departed != old {
      setStanding(backend, departed, &changed)
    } else if hasNewTimeout {
      changed.insert(backend)
    }
  }

  /// Called when a session leaves: a backend that no table names is forgotten with its last session.
  mutating func releaseIfUnused(_ backend: Int32) {
    let slot = backends[backend]
    guard !slot.pointee.isInTable, slot.pointee.sessions.isEmpty else { return }
    if let group = groupNumbers[slot.pointee.member.group] { groups[group].pointee.departed.remove(backend) }
    backends.remove(backend)
  }

  private mutating func rebuildRoutes(_ number: Int32, members: [(backend: Int32, route: MemberRoute)], balance: Balance) {
    let group = groups[number]
    for role in ListenerRole.allCases {
      let serving = members.lazy.filter { $0.route.standing[role] == .serve }.map { ($0.backend, weight: $0.route.weight) }
      let routeNumber = group.pointee.routes[role.ordinal]
      let route = routes[routeNumber]
      let appeared = route.pointee.balancer.replace(Array(serving), balance: balance)
      if appeared, !route.pointee.held.isEmpty {
        route.pointee.pacing.candidateAppeared(now: now)
        schedulePace(routeNumber)
      }
    }
  }

  /// A group that neither the table nor a listener names goes, so that groups made and deleted through the API leave nothing behind.
  /// Nobody uses it then: a session keeps the listener it came through.
  mutating func reclaimIfUnused(_ number: Int32) {
    groupsVisited += 1
    let group = groups[number]
    guard !group.pointee.isInTable, group.pointee.listeners == 0 else { return }
    for role in ListenerRole.allCases {
      let route = group.pointee.routes[role.ordinal]
      paceDeadlines.remove(UInt32(bitPattern: route))
      routes.remove(route)
    }
    groupNumbers[group.pointee.name] = nil
    groups.remove(number)
  }

  // MARK: Standings

  private mutating func setStanding(_ backend: Int32, _ standing: Standings, _ changed: inout Set<Int32>) {
    let slot = backends[backend]
    guard slot.pointee.standing != standing else { return }
    for role in ListenerRole.allCases where slot.pointee.standing[role] != standing[role] {
      slot.pointee.standingSince[role.ordinal] = now
    }
    slot.pointee.standing = standing
    if !slot.pointee.sessions.isEmpty { changed.insert(backend) }
  }

  /// Fences the connects in flight, and puts every session that may not stay before a decision. Those run as deadlines, a bounded
  /// number per pass, so that the end of ten thousand sessions does not stop the rest.
  private mutating func applyStandings(_ backend: Int32) {
    let standing = backends[backend].pointee.standing
    var index = backends[backend].pointee.sessions.first
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
          known.map { (Identity(backend: backends[$0].pointee.member.backend, address: backends[$0].pointee.address), $0) },
          uniquingKeysWith: { first, _ in first })
      }
      backend = byIdentity?[Identity(backend: member.backend, address: member.address)]
    }
    return backend.flatMap { backends[$0].pointee.isInTable ? nil : $0 }
  }
}

extension BackendSlot {
  fileprivate func `is`(_ member: MemberRoute) -> Bool { self.member.backend == member.backend && address == member.address }
}
