import Model

/// What a failover of the primary role takes here, measured by the loop's clock: nothing is asked of the kernel, and nothing per read.
extension Worker where E: ~Copyable {
  /// Everybody who served the route is lost. Returns what the sessions they still have are to be marked with.
  mutating func beginFailover(_ route: RouteNumber, at startedAt: Instant) -> UInt32 {
    // 0 marks nobody.
    failoverCount = failoverCount == .max ? 1 : failoverCount + 1
    routes[route].pointee.failover = FailoverClock(number: failoverCount, startedAt: startedAt)
    return failoverCount
  }

  func markStale(_ index: SessionIndex, _ failover: UInt32) {
    let session = sessions[index]
    let route = route(of: index)
    guard session.pointee.phase == .relaying, session.pointee.staleSince != failover,
      route.pointee.failover?.number == failover
    else { return }
    session.pointee.staleSince = failover
    route.pointee.failover?.staleSessionFound()
  }

  mutating func allStaleAreMarked(_ group: Int32, _ failover: UInt32) {
    let route = groups[group].pointee.routes[ListenerRole.primary.ordinal]
    guard route != .noSlot, routes[route].pointee.failover?.number == failover,
      let duration = routes[route].pointee.failover?.allStaleSessionsFound()
    else { return }
    phases[group, default: FailoverPhases()].lastStaleSession.record(duration)
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
