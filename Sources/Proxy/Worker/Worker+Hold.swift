import Model

/// Connections nobody can serve yet wait in the order in which they came, with a deadline.
extension Worker where E: ~Copyable {
  mutating func hold(_ index: SessionIndex, _ cause: HoldPacing.Cause) {
    let session = sessions[index]
    let deadline = session.pointee.waitingSince + holdTimeout(of: index)
    // A client that ended its stream may in theory wait for an answer still. While nobody can answer it is taken at its word:
    // clients that gave up are what fills a queue, and serving them later would be load without a reader.
    if session.pointee.clientHungUp { return forget(index, .clientLeft) }
    guard now < deadline else { return closeCleanly(index, .holdTimeout) }
    guard heldCount < settings.heldLimit else { return closeCleanly(index, .holdOverflow) }
    let number = listener(of: index).pointee.route
    let route = routes[number]
    session.pointee.phase = .held
    session.pointee.wasHeld = true
    route.pointee.held.insert(index, after: placeInQueue(index, route), in: sessions)
    heldCount += 1
    deadlines.set(index, at: drain.map { min($0.endsAt, deadline) } ?? deadline)
    if !route.pointee.balancer.candidates.isEmpty {
      route.pointee.pacing.mustWait(cause, now: now)
      schedulePace(number)
    }
  }

  /// By the time it began to wait: one that was admitted and failed gets its old place back. Newcomers belong last and returners near
  /// the head, so the walk is short.
  private func placeInQueue(_ index: SessionIndex, _ route: UnsafeMutablePointer<Route>) -> SessionIndex {
    let since = sessions[index].pointee.waitingSince
    let held = route.pointee.held
    if held.isEmpty || sessions[held.last].pointee.waitingSince <= since { return held.last }
    var place = Links.none
    var next = held.first
    while next != Links.none, sessions[next].pointee.waitingSince <= since {
      place = next
      next = held.next(after: next, in: sessions)
    }
    return place
  }

  mutating func leaveQueue(_ index: SessionIndex) {
    guard sessions[index].pointee.phase == .held else { return }
    route(of: index).pointee.held.remove(index, in: sessions)
    sessions[index].pointee.phase = .connecting
    heldCount -= 1
    deadlines.remove(index)
  }

  /// The next batch of a route's queue tries anew.
  mutating func admitHeld(_ number: RouteNumber) {
    let route = routes[number]
    guard !route.pointee.held.isEmpty, !route.pointee.balancer.candidates.isEmpty else {
      route.pointee.pacing.rest()
      return schedulePace(number)
    }
    let batch = route.pointee.pacing.takeBatch(now: now)
    for _ in 0..<batch {
      let first = route.pointee.held.first
      guard first != Links.none else { break }
      leaveQueue(first)
      sessions[first].pointee.tried = TriedBackends()
      tryNext(first)
      // Back in the queue already: everybody is full, or this host cannot open sockets now. The rest would fare no better.
      if sessions[first].pointee.phase == .held { break }
    }
    if route.pointee.held.isEmpty { route.pointee.pacing.rest() }
    schedulePace(number)
  }

  /// A backend of the group has room for one more.
  mutating func offerPlace(_ group: UnsafeMutablePointer<GroupSlot>) {
    for role in ListenerRole.allCases {
      let number = group.pointee.routes[role.ordinal]
      guard number != .noSlot, !routes[number].pointee.held.isEmpty else { continue }
      routes[number].pointee.pacing.placeFreed(now: now)
      schedulePace(number)
    }
  }

  mutating func recordHold(_ index: SessionIndex) {
    sessions[index].pointee.wasHeld = false
    holdTimes[listener(of: index).pointee.group, default: PhaseHistogram()].record(now - sessions[index].pointee.waitingSince)
  }

  mutating func schedulePace(_ number: RouteNumber) {
    let id = UInt32(bitPattern: number)
    if let next = routes[number].pointee.pacing.nextBatchAt { paceDeadlines.set(id, at: next) } else { paceDeadlines.remove(id) }
  }
}
