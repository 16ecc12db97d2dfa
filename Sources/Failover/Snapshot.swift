package import Model

/// A group as people see it: the API, the command line and the metrics all read this.
package struct GroupSnapshot: Hashable, Sendable {
  package enum State: String, Hashable, Sendable {
    /// No verdict yet.
    case starting
    case serving
    /// Served by another member than the one that configuration or DNS names as primary.
    case failedOver = "failed_over"
    /// Nobody can serve: new connections wait.
    case holding
  }

  package let name: GroupName
  package let mode: GroupMode
  package let primary: BackendID?
  package let state: State
  package let lastFailover: Instant?
  package let failoverCount: Int
  package let pinned: Bool
  /// A person's choice of primary, while it counts.
  package let override: Group.Override?
  /// Where the preferred primary would take over from the present one, or is about to.
  package let failback: FailbackSnapshot?
  /// `minimum_interval`, doubled as often as the group flaps.
  package let effectiveInterval: Duration
  /// Until then no automatic change of primary is made; nil when one could be made now.
  package let nextAllowedChange: Instant?
  /// Automatic changes of primary within the time of `maximum_failovers`, or the last hour where there is no such limit.
  package let recentFailovers: Int
  /// Why automatic changes are suspended; nil when they are not.
  package let suspension: String?
  /// Decides and records, and does not act.
  package let isShadow: Bool
  /// In shadow mode: who would be the primary, where that is somebody else.
  package let shadowPrimary: BackendID?
  /// How many addresses of DNS answers were refused, by the group's own `allowed_cidrs`, since the group exists.
  package let refusedAddresses: UInt64
  package let members: [MemberSnapshot]

  package var primaryIsHealthy: Bool { members.contains { $0.id == primary && $0.health == .up } }
  package var healthyCount: Int { members.count { $0.health == .up } }
  package var failedCount: Int { members.count { $0.health == .down } }
}

/// A recovered preferred primary that is not the primary.
package struct FailbackSnapshot: Hashable, Sendable {
  package let backend: BackendID
  /// Since when it could take over without interruption.
  package let readySince: Instant
  /// How often it failed in the hour before now.
  package let flaps: Int
  /// When it takes over by itself; nil where a person has to say so.
  package let due: Instant?

  package init(backend: BackendID, readySince: Instant, flaps: Int, due: Instant?) {
    self.backend = backend
    self.readySince = readySince
    self.flaps = flaps
    self.due = due
  }
}

package struct MemberSnapshot: Hashable, Sendable {
  package enum HealthState: String, Hashable, Sendable {
    case unknown, up, down
  }

  package let id: BackendID
  package let address: SocketAddress
  package let proto: BackendProtocol
  package let weight: Int
  package let tier: UInt16
  package let zone: String?
  package let health: HealthState
  package let healthSince: Instant
  package let score: Int?
  /// nil where the check does not ask for it.
  package let role: Role?
  package let roleAge: Duration?
  package let replication: Replication?
  /// The part of its weight that counts, in percent.
  package let share: UInt8
  /// Configuration or DNS names it as the primary.
  package let designated: Bool
  package let administrative: Member.Administrative
  package let discovered: Member.Discovered
  package let eligible: Bool
  package let reason: String
}

extension Group {
  package func snapshot(at now: Instant) -> GroupSnapshot {
    let routes = currentRoutes(now: now)
    return GroupSnapshot(
      name: name, mode: specification.mode, primary: leader, state: state(at: now), lastFailover: lastFailover,
      failoverCount: failoverCount, pinned: override?.pin ?? false, override: override,
      failback: failback(at: now), effectiveInterval: effectiveInterval(at: now),
      nextAllowedChange: nextAllowedChange.flatMap { $0 > now ? $0 : nil },
      recentFailovers: automaticChanges.count(within: specification.maximumFailovers?.within ?? .seconds(3600), before: now),
      suspension: suspensionText(at: now), isShadow: specification.shadow,
      shadowPrimary: shadowPrimary, refusedAddresses: refusedAddresses,
      members: zip(members, routes).map { snapshot(of: $0, route: $1, at: now) })
  }

  private func state(at now: Instant) -> GroupSnapshot.State {
    if holding { return .holding }
    switch specification.mode {
    case .activePassive:
      guard let leader, let member = member(leader) else { return .starting }
      return member.designated ? .serving : .failedOver
    case .normal:
      return members.contains { $0.health.isUp } ? .serving : .starting
    }
  }

  private func snapshot(of member: Member, route: Member.Announced, at now: Instant) -> MemberSnapshot {
    let obstacle = specification.mode == .activePassive ? member.obstacle(at: now) : member.plainObstacle ?? member.scoreObstacle
    let health: MemberSnapshot.HealthState =
      switch member.health.state {
      case .unknown: .unknown
      case .up: .up
      case .down: .down
      }
    return MemberSnapshot(
      id: member.id, address: member.address, proto: member.proto, weight: member.weight, tier: member.tier, zone: member.zone,
      health: health, healthSince: member.health.since, score: member.health.score,
      role: member.provesRole ? member.role(at: now) : nil,
      roleAge: member.provesRole ? member.roleAge(at: now) : nil, replication: member.replication, share: route.share,
      designated: member.designated, administrative: member.administrative,
      discovered: discovered(member), eligible: obstacle == nil,
      reason: reason(obstacle?.description ?? eligibleAs(member, route), of: member))
  }

  private func reason(_ reason: String, of member: Member) -> String {
    guard let lag = member.excessiveLag, member.plainObstacle == nil else { return reason }
    return "\(reason), \(lag)"
  }

  /// What an eligible member waits for, if it waits.
  private func eligibleAs(_ member: Member, _ route: Member.Announced) -> String {
    if member.id == leader { return "eligible, primary" }
    let waits = specification.mode == .activePassive ? leader != nil : route.standing.any != .serve
    if waits { return member.tier > 0 ? "eligible, backup (tier \(member.tier))" : "eligible, backup" }
    return leader == nil ? "eligible" : "eligible, backup"
  }
}
