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
  /// Narrows which discovered addresses may be members; empty: all that discovery lets through.
  package var allowedRanges: [AddressRange]

  package init(
    name: GroupName, mode: GroupMode, members: [MemberSource], balance: Balance = .roundRobin, failback: Failback = .manual,
    minimumInterval: Duration = .seconds(10), holdTimeout: Duration = .seconds(10), drainTimeout: Duration = .seconds(30),
    allowedRanges: [AddressRange] = []
  ) {
    self.name = name
    self.mode = mode
    self.members = members
    self.balance = balance
    self.failback = failback
    self.minimumInterval = minimumInterval
    self.holdTimeout = holdTimeout
    self.drainTimeout = drainTimeout
    self.allowedRanges = allowedRanges
  }
}

/// Where members of a group come from: one fixed backend, or everything a domain resolves to.
package struct MemberSource: Hashable, Sendable {
  package enum Origin: Hashable, Sendable {
    case fixed(BackendID, SocketAddress)
    /// `port` is for endpoints whose records name none; nil where the records always do (SRV).
    case domain(DomainName, port: UInt16?)
  }

  package var origin: Origin
  /// Which records the domain is asked for; `.address` for a fixed backend.
  package var record: RecordKind
  package var proto: BackendProtocol
  /// Relative share of new connections, 1 to 65535; 0 takes none. Nil where nobody says: the record's weight counts, else 1.
  package var weight: Int?
  package var zone: String?
  package var isPrimary: Bool
  /// Out of service as long as DNS says so (`maintenance=true`).
  package var maintenance: Bool
  package var check: HealthCheck

  package init(
    origin: Origin, record: RecordKind = .address, proto: BackendProtocol, weight: Int? = nil, zone: String? = nil,
    isPrimary: Bool = false, maintenance: Bool = false, check: HealthCheck
  ) {
    self.origin = origin
    self.record = record
    self.proto = proto
    self.weight = weight
    self.zone = zone
    self.isPrimary = isPrimary
    self.maintenance = maintenance
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
