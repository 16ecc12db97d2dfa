import Model

/// Taking over changes of the routing table: a bounded number of steps in each pass, see `GroupChange`.
extension Worker where E: ~Copyable {
  /// Steps per pass, of some tens of nanoseconds each: a few tenths of a millisecond.
  static var stepsPerPass: Int { 2048 }
  /// What a connect that must be given up costs: system calls for the old one and for the next.
  private static var stepsPerConnect: Int { 64 }

  /// Whether a change has been taken from the mailbox and not been carried through.
  @inline(__always) var isChanging: Bool { hasChange || nextStep < steps.count || !routesToFill.isEmpty }

  mutating func takeOverChanges() {
    var left = Self.stepsPerPass
    while left > 0, var current = beginChange(&left) {
      while left > 0, advance(&current, &left) {}
      if current.stage == .forgetting, current.cursor == current.leaving.count { end(current) } else { change = current }
    }
    stepsTaken += Self.stepsPerPass - left
  }

  /// The change that is under way, or the next one.
  private mutating func beginChange(_ left: inout Int) -> GroupChange? {
    if let current = change {
      change = nil
      return current
    }
    if let group = routesToFill.popLast() {
      left -= 1
      return begin(.newRoute, of: group)
    }
    while left > 0 {
      if nextStep == steps.count {
        guard changesMayWait else { return nil }
        if !steps.isEmpty { mailbox.retire(steps) }
        steps = mailbox.takeChanges()
        nextStep = 0
        changesMayWait = !steps.isEmpty
        continue
      }
      let step = steps[nextStep]
      nextStep += 1
      left -= 1
      if let route = step.route { return begin(.update(route), of: groupNumber(for: step.group)) }
      if let number = groupNumbers[step.group] { return begin(.removal, of: number) }
    }
    return nil
  }

  /// The number of a group, known before or not.
  mutating func groupNumber(for name: GroupName) -> Int32 {
    if let known = groupNumbers[name] { return known }
    let number = groups.insert(GroupSlot(name: name))
    groupNumbers[name] = number
    return number
  }

  private mutating func begin(_ kind: GroupChange.Kind, of number: Int32) -> GroupChange {
    let group = groups[number]
    group.pointee.isChanging = true
    var change = GroupChange(kind, of: number, members: group.pointee.members, departed: group.pointee.departed, now: now)
    switch kind {
    case .update(let route):
      groupsVisited += 1
      change.hasNewTimeout = group.pointee.isInTable && group.pointee.drainTimeout != route.drainTimeout
      group.pointee.isInTable = true
      group.pointee.balance = route.balance
      group.pointee.holdTimeout = route.holdTimeout
      group.pointee.drainTimeout = route.drainTimeout
      group.pointee.connections = route.connections
      let limit = settings.share(of: route.connections.maximum)
      change.mayHaveRoom = limit > group.pointee.connectionLimit
      group.pointee.connectionLimit = limit
    case .removal:
      groupsVisited += 1
      group.pointee.isInTable = false
    case .newRoute: break
    }
    return change
  }

  private mutating func end(_ change: GroupChange) {
    groups[change.group].pointee.isChanging = false
    switch change.kind {
    case .removal: reclaimIfUnused(change.group)
    case .update, .newRoute: break
    }
  }

  /// One step. False when the change is through.
  private mutating func advance(_ change: inout GroupChange, _ left: inout Int) -> Bool {
    left -= 1
    switch (change.stage, change.kind) {
    case (.matching, .update(let route)):
      if change.cursor < route.members.count { match(&change, route.members[change.cursor]) } else { change.enter(.leaving) }
    case (.matching, _): change.enter(.leaving)
    case (.leaving, _):
      if change.cursor < change.known.count { considerLeaving(&change) } else { change.enter(.building) }
    case (.building, _): build(&change)
    case (.settling, _):
      if change.cursor < change.changed.count { settle(&change, &left) } else { finishSettling(&change) }
    case (.forgetting, _):
      guard change.cursor < change.leaving.count else { return false }
      forgetIfUnused(change.leaving[change.cursor], of: change.group)
      change.cursor += 1
    }
    return true
  }

  // MARK: Members

  /// Finds the slot that a member had: first at its old position, which is where nearly all of them are, else by name and address.
  /// A second member of the same identity is a newcomer.
  private mutating func match(_ change: inout GroupChange, _ member: MemberRoute) {
    var found: Int32?
    if change.cursor < change.known.count, backends[change.known[change.cursor]].pointee.is(member) {
      found = change.known[change.cursor]
    } else if change.indexed < change.known.count {
      return index(&change)
    } else if let backend = change.places[GroupChange.identity(member.backend, member.address)],
      backends[backend].pointee.is(member)
    {
      found = backend
    }
    change.cursor += 1
    guard let backend = found, !backends[backend].pointee.isMatched else {
      change.members.append(backends.insert(BackendSlot(member, group: change.group)))
      return estimateLatencyIfWanted(change.members[change.members.count - 1], change.group)
    }
    let slot = backends[backend]
    let served = slot.pointee.standing.primary == .serve
    if served, slot.pointee.isInTable {
      change.primaryWasServed = true
      if member.standing.primary == .serve { change.primaryIsServedStill = true }
    }
    slot.pointee.isMatched = true
    slot.pointee.isInTable = true
    slot.pointee.weigh(as: member)
    setStanding(backend, member.standing, &change)
    change.members.append(backend)
    estimateLatencyIfWanted(backend, change.group)
  }

  private func index(_ change: inout GroupChange) {
    let backend = change.known[change.indexed]
    let slot = backends[backend]
    if change.indexed == 0 { change.places.reserveCapacity(change.known.count) }
    change.indexed += 1
    let identity = GroupChange.identity(slot.pointee.name, slot.pointee.address)
    if change.places[identity] == nil { change.places[identity] = backend }
  }

  private mutating func estimateLatencyIfWanted(_ backend: Int32, _ group: Int32) {
    estimateLatency(of: backend, groups[group].pointee.balance == .peakEWMA)
  }

  /// A member that is no longer named: its sessions drain, unless they were to go sooner.
  private func considerLeaving(_ change: inout GroupChange) {
    let backend = change.known[change.cursor]
    let slot = backends[backend]
    change.cursor += 1
    if slot.pointee.isMatched {
      slot.pointee.isMatched = false
      if change.hasNewTimeout, slot.pointee.activity != .noSlot { change.changed.append(GroupChange.Changed(backend: backend)) }
      return
    }
    let old = slot.pointee.standing
    if old.primary == .serve, slot.pointee.isInTable { change.primaryWasServed = true }
    slot.pointee.isInTable = false
    change.leaving.append(backend)
    let departed = Standings(primary: old.primary.afterDeparture, replica: old.replica.afterDeparture, any: old.any.afterDeparture)
    setStanding(backend, departed, &change)
    if change.hasNewTimeout { change.changed.append(GroupChange.Changed(backend: backend)) }
  }

  /// From here on it is not picked for a role that it lost, and a connect that is under way there comes to nothing.
  private func setStanding(_ backend: Int32, _ standing: Standings, _ change: inout GroupChange) {
    let slot = backends[backend]
    let old = slot.pointee.standing
    guard old != standing else { return }
    slot.pointee.standing = standing
    guard slot.pointee.activity != .noSlot else { return }
    for role in ListenerRole.allCases where old[role] != standing[role] {
      activities[slot.pointee.activity].pointee.standingSince[role.ordinal] = change.startedAt
    }
    change.changed.append(GroupChange.Changed(backend: backend, servedPrimary: old.primary == .serve))
  }

  /// While the group changes nobody is forgotten when the last session leaves: the candidates may still name it.
  private mutating func forgetIfUnused(_ backend: Int32, of group: Int32) {
    if backends[backend].pointee.activity == .noSlot {
      removeBackend(backend)
    } else {
      groups[group].pointee.departed.insert(backend)
    }
  }

  // MARK: Routes

  /// The route for a listener of a group, made when there is none.
  mutating func routeNumber(_ group: Int32, _ role: ListenerRole) -> RouteNumber {
    let slot = groups[group]
    let known = slot.pointee.routes[role.ordinal]
    guard known == .noSlot else { return known }
    let number = routes.insert(Route(balancer: Balancer(balance: slot.pointee.balance)))
    slot.pointee.routes[role.ordinal] = number
    if !slot.pointee.members.isEmpty { routesToFill.append(group) }
    return number
  }

  private mutating func build(_ change: inout GroupChange) {
    let group = groups[change.group]
    switch change.building {
    case .choosing:
      let role = ListenerRole.allCases.first {
        group.pointee.routes[$0.ordinal] != .noSlot && change.drafts[$0.ordinal] == nil
      }
      guard let role else { return takeEffect(&change) }
      let old = routes[group.pointee.routes[role.ordinal]].pointee.balancer.candidates.count
      change.drafts[role.ordinal] = BalancerDraft(
        balance: group.pointee.balance, sizedFor: change.members.count, remembering: old)
      change.building = .remembering(role)
      change.cursor = 0
    case .remembering(let role):
      let route = group.pointee.routes[role.ordinal]
      guard route != .noSlot, change.cursor < routes[route].pointee.balancer.candidates.count else {
        change.building = .adding(role)
        return change.cursor = 0
      }
      change.drafts[role.ordinal]?.remember(routes[route].pointee.balancer.candidates[change.cursor])
      change.cursor += 1
    case .adding(let role):
      guard change.cursor < change.members.count else { return change.building = .weighing(role) }
      let backend = change.members[change.cursor]
      let slot = backends[backend]
      if slot.pointee.standing[role] == .serve {
        change.drafts[role.ordinal]?.add(backend, slot.pointee.name, weight: slot.pointee.weight, share: slot.pointee.share)
      }
      change.cursor += 1
    case .weighing(let role):
      if change.drafts[role.ordinal]?.weighNext() != true { change.building = .choosing }
    }
  }

  /// From here on the group serves by its new members.
  private mutating func takeEffect(_ change: inout GroupChange) {
    let group = groups[change.group]
    switch change.kind {
    case .update, .removal:
      group.pointee.members = change.members
      group.pointee.departed = []
    case .newRoute: break
    }
    beginFailover(&change)
    for role in ListenerRole.allCases {
      let number = group.pointee.routes[role.ordinal]
      guard number != .noSlot, let draft = change.drafts[role.ordinal] else { continue }
      // Or the balancer's first turn would copy it.
      change.drafts[role.ordinal] = nil
      let route = routes[number]
      route.pointee.balancer.adopt(draft)
      guard draft.someoneAppeared || change.mayHaveRoom, !route.pointee.held.isEmpty else { continue }
      route.pointee.pacing.candidateAppeared(now: now)
      schedulePace(number)
    }
    change.enter(.settling)
  }

  /// All who served the primary role are lost at once. Of a failover that nobody listens for there is nothing to measure.
  private mutating func beginFailover(_ change: inout GroupChange) {
    let route = groups[change.group].pointee.routes[ListenerRole.primary.ordinal]
    guard route != .noSlot else { return }
    switch change.kind {
    case .newRoute: break
    // Nobody is to take over what is not there any more.
    case .removal: routes[route].pointee.failover = nil
    case .update:
      if change.primaryWasServed, !change.primaryIsServedStill {
        change.failover = beginFailover(route, at: change.startedAt)
      }
    }
  }

  /// A group that neither the table nor a listener names goes, so that groups made and deleted through the API leave nothing behind.
  /// Nobody uses it then: a session keeps the listener it came through.
  mutating func reclaimIfUnused(_ number: Int32) {
    groupsVisited += 1
    let group = groups[number]
    guard !group.pointee.isInTable, !group.pointee.isChanging, !group.pointee.hasRoutes else { return }
    groupNumbers[group.pointee.name] = nil
    routesToFill.removeAll { $0 == number }
    phases[number] = nil
    holdTimes[number] = nil
    groups.remove(number)
  }

  // MARK: Sessions

  /// Fences a connect in flight, or puts a session that may not stay before a decision: that runs as a deadline, of which a pass runs a
  /// bounded number. The session goes to the end of its member's list, so that the next one is first whoever comes and goes between passes.
  private mutating func settle(_ change: inout GroupChange, _ left: inout Int) {
    let member = change.changed[change.cursor]
    let slot = backends[member.backend]
    guard slot.pointee.activity != .noSlot, !activities[slot.pointee.activity].pointee.sessions.isEmpty, change.sessionsLeft != 0
    else {
      change.sessionsLeft = nil
      return change.cursor += 1
    }
    let activity = activities[slot.pointee.activity]
    change.sessionsLeft = (change.sessionsLeft ?? activity.pointee.sessions.count) - 1
    let index = activity.pointee.sessions.first
    activity.pointee.sessions.remove(index, in: sessions)
    activity.pointee.sessions.append(index, in: sessions)
    if let failover = change.failover, member.servedPrimary { markStale(index, failover) }
    switch (sessions[index].pointee.phase, slot.pointee.standing[listener(of: index).pointee.role]) {
    case (.connecting, .serve), (.relaying, .serve), (.relaying, .idle): break
    case (.connecting, _):
      left -= Self.stepsPerConnect
      attemptFailed(index, .fenced)
    case (.relaying, _): deadlines.set(index, at: now)
    case (.free, _), (.waitingForFirstByte, _), (.held, _), (.closing, _): break
    }
  }

  private mutating func finishSettling(_ change: inout GroupChange) {
    if let failover = change.failover { allStaleAreMarked(change.group, failover) }
    change.enter(.forgetting)
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
