/// Where connections may go, decided by the engine. The proxy follows it change by change.
package struct RoutingTable: Hashable, Sendable {
  /// Grows by one with each table. A connect that was begun under an older table is checked again before it is used.
  package var generation: UInt64
  package var groups: [GroupRoute]

  package init(generation: UInt64, groups: [GroupRoute]) {
    self.generation = generation
    self.groups = groups
  }

  package static let empty = RoutingTable(generation: 0, groups: [])

  package subscript(name: GroupName) -> GroupRoute? { groups.first { $0.name == name } }
}

/// The step from one table to the next: what changes costs, what stays does not, however large the table.
package struct RoutingChange: Hashable, Sendable {
  /// Of the table it leads to.
  package var generation: UInt64
  /// New groups and those that differ, whole.
  package var changed: [GroupRoute]
  package var removed: [GroupName]

  package init(generation: UInt64, changed: [GroupRoute] = [], removed: [GroupName] = []) {
    self.generation = generation
    self.changed = changed
    self.removed = removed
  }
}

package struct GroupRoute: Hashable, Sendable {
  package var name: GroupName
  package var balance: Balance
  package var holdTimeout: Duration
  package var drainTimeout: Duration
  package var connections: UpstreamConnections
  package var members: [MemberRoute]

  package init(
    name: GroupName, balance: Balance, holdTimeout: Duration, drainTimeout: Duration,
    connections: UpstreamConnections = UpstreamConnections(), members: [MemberRoute]
  ) {
    self.name = name
    self.balance = balance
    self.holdTimeout = holdTimeout
    self.drainTimeout = drainTimeout
    self.connections = connections
    self.members = members
  }

  /// The backends that may take a new connection from a listener of `role`.
  package func serving(_ role: ListenerRole) -> [BackendID] {
    members.lazy.filter { $0.standing[role] == .serve }.map(\.backend)
  }
}

package struct MemberRoute: Hashable, Sendable {
  package var backend: BackendID
  package var address: SocketAddress
  package var weight: Int
  /// The part of its weight that counts now, 0 to 100 percent: less while it starts slowly, is degraded, or is far away. Of members that
  /// serve, one with 0 takes nothing, unless all have it.
  package var share: UInt8
  package var standing: Standings

  package init(backend: BackendID, address: SocketAddress, weight: Int, share: UInt8 = 100, standing: Standings) {
    self.backend = backend
    self.address = address
    self.weight = weight
    self.share = share
    self.standing = standing
  }
}

/// What a member is to the listeners of one role: who may come, and what becomes of those who are there.
package enum Standing: Hashable, Sendable {
  /// New connections welcome.
  case serve
  /// No new connections; sessions go on undisturbed (a standby that nobody asked to leave).
  case idle
  /// No new connections; sessions go on until they end themselves, at the latest after `drainTimeout`.
  case drain
  /// No new connections; the backend lost its role. Quiet sessions end at once, busy ones after a short deadline.
  case demoted
  /// Known dead: its sessions are reset at once.
  case dead
}

/// A member's standing for each listener role.
package struct Standings: Hashable, Sendable {
  package var primary: Standing
  package var replica: Standing
  package var any: Standing

  package init(primary: Standing, replica: Standing, any: Standing) {
    self.primary = primary
    self.replica = replica
    self.any = any
  }

  package init(all standing: Standing) { self.init(primary: standing, replica: standing, any: standing) }

  package subscript(role: ListenerRole) -> Standing {
    switch role {
    case .primary: primary
    case .replica: replica
    case .any: any
    }
  }
}

/// What the data path saw of a backend: evidence for the engine, never a decision.
package struct DataPathSignal: Hashable, Sendable {
  package enum Kind: String, CaseIterable, Hashable, Sendable {
    case connectRefused = "connect_refused"
    case connectTimedOut = "connect_timed_out"
    case connectUnreachable = "connect_unreachable"
    /// An established session ended with a reset from the backend.
    case reset
    /// The backend ended a session in good order while the client had not. Normal for some protocols; worth an early probe.
    case closed
  }

  package let member: MemberKey
  package let kind: Kind

  package init(member: MemberKey, kind: Kind) {
    self.member = member
    self.kind = kind
  }
}
