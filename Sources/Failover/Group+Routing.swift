import Model

/// What the group's members are to the proxy. Derived from the facts and the leader, never stored.
extension Group {
  /// The route, where it is another one than the proxies know.
  mutating func announce(now: Instant) -> GroupRoute? {
    endSlowStarts(now: now)
    let current = currentRoutes(now: now)
    if isAnnounced, zip(members, current).allSatisfy({ $0.announced == $1 }) { return nil }
    for position in members.indices { members[position].announced = current[position] }
    isAnnounced = true
    return announcedRoute
  }

  /// As the proxies know it.
  var announcedRoute: GroupRoute {
    GroupRoute(
      name: name, balance: specification.balance, holdTimeout: specification.holdTimeout,
      drainTimeout: specification.drainTimeout, connections: specification.connections, members: members.map(\.route))
  }

  /// What each member is to the proxy now. Derived from the facts and the leader.
  func currentRoutes(now: Instant) -> [Member.Announced] {
    var routes = members.map {
      Member.Announced(standing: standing(of: $0, now: now), share: ownShare(of: $0, now: now), weight: UInt32(clamping: $0.weight))
    }
    if specification.mode == .normal { idleOtherTiers(&routes) }
    idleLaggingReplicas(&routes, now: now)
    idleEjected(&routes)
    if specification.zoneAffinity { preferOwnZone(&routes) }
    return routes
  }

  /// For each role, only the lowest tier in which somebody takes a share serves. Where nobody has a weight, the lowest that serves.
  /// The sessions that another tier has meanwhile stay where they are.
  private func idleOtherTiers(_ routes: inout [Member.Announced]) {
    guard let first = members.first, members.contains(where: { $0.tier != first.tier }) else { return }
    for column in [\Standings.primary, \Standings.replica, \Standings.any] {
      let serving = members.indices.filter { routes[$0].standing[keyPath: column] == .serve }
      let weighted = serving.filter { routes[$0].weight > 0 }
      guard let lowest = (weighted.isEmpty ? serving : weighted).map({ members[$0].tier }).min() else { continue }
      for position in serving where members[position].tier != lowest { routes[position].standing[keyPath: column] = .idle }
    }
  }

  /// A replica that is too far behind serves no reads while another is not. Its sessions stay: they may want just that answer.
  private func idleLaggingReplicas(_ routes: inout [Member.Announced], now: Instant) {
    let lagging = members.indices.filter { routes[$0].standing.replica == .serve && members[$0].lagsTooFar }
    if lagging.isEmpty { return }
    let anyCurrent = members.indices.contains { routes[$0].standing.replica == .serve && !members[$0].lagsTooFar }
    if anyCurrent { for position in lagging { routes[position].standing.replica = .idle } }
  }

  /// An ejected member of an active-passive group merely does not become the primary.
  private func idleEjected(_ routes: inout [Member.Announced]) {
    for column in [\Standings.primary, \Standings.replica, \Standings.any] {
      if specification.mode == .activePassive, column == \Standings.primary { continue }
      let serving = members.indices.filter { routes[$0].standing[keyPath: column] == .serve }
      // The last one stays, whatever its score.
      guard serving.contains(where: { !members[$0].isEjected }) else { continue }
      for position in serving where members[position].isEjected { routes[position].standing[keyPath: column] = .idle }
    }
  }

  /// What the member is by itself, whatever the tiers.
  func standing(of member: Member, now: Instant) -> Standings {
    if member.administrative != .inService { return standingOutOfService(member, now: now) }
    let forced = override?.force == true && override?.backend == member.id
    switch member.health.state {
    case .unknown where !forced:
      return Standings(all: .idle)
    case .down(let failure) where !forced:
      if failsOpen(failure) { break }
      var standings = Standings(all: end(of: failure, member, now: now))
      // Whoever is not the primary any more loses its writers, whatever else is wrong with it.
      if standings.primary == .idle && specification.mode == .activePassive && member.id != leader { standings.primary = .demoted }
      return standings
    case .unknown, .up, .down:
      break
    }
    return Standings(primary: primaryStanding(member, now: now), replica: replicaStanding(member, now: now), any: .serve)
  }

  /// Drained or in maintenance: nobody new, and whoever is there may finish, unless the backend is dead or no primary any more.
  private func standingOutOfService(_ member: Member, now: Instant) -> Standings {
    var standings = Standings(all: .drain)
    if case .down(let failure) = member.health.state, end(of: failure, member, now: now) != .idle {
      standings = Standings(all: failure.kind.end)
    }
    if standings.primary == .drain, member.roleObstacle(at: now) == .replica { standings.primary = .demoted }
    return standings
  }

  private func primaryStanding(_ member: Member, now: Instant) -> Standing {
    switch specification.mode {
    case .activePassive:
      if member.id == leader {
        // A member that merely works badly serves until another has taken its place.
        if mayLead(member, now: now) || member.obstacle(at: now) == member.scoreObstacle { return .serve }
        // Not proved any more is not the same as known to be a replica: nobody new, but nobody is thrown out on a stall.
        return member.roleObstacle(at: now) == .replica ? .demoted : .idle
      }
      return .demoted
    case .normal:
      if member.provesRole {
        switch member.role(at: now) {
        case .primary: return .serve
        case .replica: return .demoted
        case .unknown: return .idle
        }
      }
      return !hasLeadership || member.id == leader ? .serve : .idle
    }
  }

  private func replicaStanding(_ member: Member, now: Instant) -> Standing {
    if member.provesRole { return member.role(at: now) == .replica ? .serve : .idle }
    return member.id == leader ? .idle : .serve
  }

  /// When all members of a normal group merely time out, the doubt is as large about this host as about all of them: traffic goes on.
  /// An active-passive group never does this, and a refused connection is no doubt.
  private func failsOpen(_ failure: ProbeFailure) -> Bool {
    specification.mode == .normal && failure.kind == .timedOut
      && !members.contains { $0.health.isUp && $0.administrative == .inService }
  }
}

extension ProbeFailure.Kind {
  /// What becomes of the sessions of a member that is down for this reason.
  var end: Standing {
    switch self {
    case .refused, .timedOut, .reset, .closed, .unreachable, .protocolError: .dead
    // It answers, only not well: whoever is in the middle of something gets the short deadline.
    case .badResponse: .demoted
    // The probe is not let in, or could not be sent. Its clients may fare better.
    case .authentication, .local: .idle
    }
  }
}
