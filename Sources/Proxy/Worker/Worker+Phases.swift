import Model

/// What a failover of the primary role takes here, measured by the loop's clock: nothing is asked of the kernel, and nothing per read.
extension Worker where E: ~Copyable {
  /// Everybody who served the route is lost; the sessions they still have are marked.
  mutating func beginFailover(_ route: RouteNumber, lost: [Int32]) {
    // 0 marks nobody.
    failoverCount = failoverCount == .max ? 1 : failoverCount + 1
    var stale = 0
    for backend in lost where backends[backend].pointee.activity != .noSlot {
      let list = activities[backends[backend].pointee.activity].pointee.sessions
      var index = list.first
      while index != Links.none {
        if sessions[index].pointee.phase == .relaying, listener(of: index).pointee.route == route {
          sessions[index].pointee.staleSince = failoverCount
          stale += 1
        }
        index = list.next(after: index, in: sessions)
      }
    }
    routes[route].pointee.failover = FailoverClock(number: failoverCount, startedAt: now, staleSessions: stale)
  }

  mutating func recordFirstConnection(_ index: SessionIndex) {
    guard let duration = route(of: index).pointee.failover?.connected(now: now) else { return }
    phases[listener(of: index).pointee.group, default: FailoverPhases()].firstConnection.record(duration)
  }

  mutating func staleSessionEnded(_ index: SessionIndex) {
    let session = sessions[index]
    let route = route(of: index)
    defer { session.pointee.staleSince = 0 }
    guard route.pointee.failover?.number == session.pointee.staleSince,
      let duration = route.pointee.failover?.staleSessionEnded(now: now)
    else { return }
    phases[listener(of: index).pointee.group, default: FailoverPhases()].lastStaleSession.record(duration)
  }
}
