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
  package let members: [MemberSnapshot]

  package var primaryIsHealthy: Bool { members.contains { $0.id == primary && $0.health == .up } }
  package var healthyCount: Int { members.count { $0.health == .up } }
  package var failedCount: Int { members.count { $0.health == .down } }
}

package struct MemberSnapshot: Hashable, Sendable {
  package enum HealthState: String, Hashable, Sendable {
    case unknown, up, down
  }

  package let id: BackendID
  package let address: SocketAddress
  package let proto: BackendProtocol
  package let weight: Int
  package let zone: String?
  package let health: HealthState
  package let healthSince: Instant
  package let score: Int?
  /// nil where the check does not ask for it.
  package let role: Role?
  package let administrative: Member.Administrative
  package let discovered: Member.Discovered
  package let eligible: Bool
  package let reason: String
}

extension Group {
  package func snapshot(at now: Instant) -> GroupSnapshot {
    GroupSnapshot(
      name: name, mode: specification.mode, primary: leader, state: state(at: now), lastFailover: lastFailover,
      failoverCount: failoverCount, pinned: override?.pin ?? false, members: members.map { snapshot(of: $0, at: now) })
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

  private func snapshot(of member: Member, at now: Instant) -> MemberSnapshot {
    let obstacle = specification.mode == .activePassive ? member.obstacle(at: now) : plainObstacle(member)
    let health: MemberSnapshot.HealthState =
      switch member.health.state {
      case .unknown: .unknown
      case .up: .up
      case .down: .down
      }
    return MemberSnapshot(
      id: member.id, address: member.address, proto: member.proto, weight: member.weight, zone: member.zone, health: health,
      healthSince: member.health.since, score: member.health.score, role: member.check.provesRole ? member.role(at: now) : nil,
      administrative: member.administrative, discovered: member.discovered, eligible: obstacle == nil,
      reason: obstacle?.description ?? (member.id == leader ? "eligible, primary" : leader == nil ? "eligible" : "eligible, backup")
    )
  }

  /// In a normal group any healthy member serves, whatever its role.
  private func plainObstacle(_ member: Member) -> Member.Ineligibility? {
    switch member.health.state {
    case .unknown: .notProbed
    case .down(let failure): .down(failure)
    case .up: nil
    }
  }
}
