/// A group as the configuration or the API describes it. Immutable; what becomes of it is the engine's state.
package struct GroupSpecification: Hashable, Sendable {
  package enum Failback: Hashable, Sendable {
    /// A recovered primary stays a backup until a person says otherwise.
    case manual
    /// The preferred primary takes over again once it has been eligible for this long.
    case automatic(after: Duration)
  }

  package var name: GroupName
  package var mode: GroupMode
  /// In order of preference: the order of the configuration.
  package var members: [MemberSource]
  package var balance: Balance
  package var failback: Failback
  /// Between two automatic changes of primary.
  package var minimumInterval: Duration
  /// How long a new connection waits while the group has nobody to serve it.
  package var holdTimeout: Duration
  /// How long sessions of a draining or removed member may go on.
  package var drainTimeout: Duration

  package init(
    name: GroupName, mode: GroupMode, members: [MemberSource], balance: Balance = .roundRobin, failback: Failback = .manual,
    minimumInterval: Duration = .seconds(10), holdTimeout: Duration = .seconds(10), drainTimeout: Duration = .seconds(30)
  ) {
    self.name = name
    self.mode = mode
    self.members = members
    self.balance = balance
    self.failback = failback
    self.minimumInterval = minimumInterval
    self.holdTimeout = holdTimeout
    self.drainTimeout = drainTimeout
  }
}

/// Where members of a group come from: one fixed backend, or everything a domain resolves to.
package struct MemberSource: Hashable, Sendable {
  package enum Origin: Hashable, Sendable {
    case fixed(BackendID, SocketAddress)
    case domain(DomainName, port: UInt16)
  }

  package var origin: Origin
  package var proto: BackendProtocol
  /// Relative share of new connections, 1 to 65535; 0 takes none.
  package var weight: Int
  package var zone: String?
  package var isPrimary: Bool
  package var check: HealthCheck

  package init(
    origin: Origin, proto: BackendProtocol, weight: Int = 1, zone: String? = nil, isPrimary: Bool = false, check: HealthCheck
  ) {
    self.origin = origin
    self.proto = proto
    self.weight = weight
    self.zone = zone
    self.isPrimary = isPrimary
    self.check = check
  }
}

package struct ListenerSpecification: Hashable, Sendable {
  package var name: ListenerName
  package var address: SocketAddress
  package var group: GroupName
  package var role: ListenerRole
  package var clientSpeaksFirst: Bool

  package init(name: ListenerName, address: SocketAddress, group: GroupName, role: ListenerRole, clientSpeaksFirst: Bool) {
    self.name = name
    self.address = address
    self.group = group
    self.role = role
    self.clientSpeaksFirst = clientSpeaksFirst
  }
}
