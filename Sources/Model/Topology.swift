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
  /// Between two automatic changes of primary. Doubles while the group flaps.
  package var minimumInterval: Duration
  /// More automatic changes of primary than this are not made; nil: no limit.
  package var maximumFailovers: FailoverLimit?
  /// The configured primary is pinned from the start: no automatic failover away from it.
  package var pin: Bool
  /// Members of this host's zone are preferred while they have the capacity.
  package var zoneAffinity: Bool
  /// How long a member that came up takes to reach its full share.
  package var slowStart: Duration
  package var predictive: Predictive?
  /// Decides and records, and does not act: traffic stays where it is.
  package var shadow: Bool
  /// How long a new connection waits while the group has nobody to serve it.
  package var holdTimeout: Duration
  /// How long sessions of a draining or removed member may go on.
  package var drainTimeout: Duration
  package var connections: UpstreamConnections
  /// Narrows which discovered addresses may be members; empty: all that discovery lets through.
  package var allowedRanges: [AddressRange]

  package init(
    name: GroupName, mode: GroupMode, members: [MemberSource], balance: Balance = .roundRobin, failback: Failback = .manual,
    minimumInterval: Duration = .seconds(10), maximumFailovers: FailoverLimit? = nil, pin: Bool = false,
    zoneAffinity: Bool = false, slowStart: Duration = .zero, predictive: Predictive? = nil, shadow: Bool = false,
    holdTimeout: Duration = .seconds(10), drainTimeout: Duration = .seconds(30),
    connections: UpstreamConnections = UpstreamConnections(), allowedRanges: [AddressRange] = []
  ) {
    self.name = name
    self.mode = mode
    self.members = members
    self.balance = balance
    self.failback = failback
    self.minimumInterval = minimumInterval
    self.maximumFailovers = maximumFailovers
    self.pin = pin
    self.zoneAffinity = zoneAffinity
    self.slowStart = slowStart
    self.predictive = predictive
    self.shadow = shadow
    self.holdTimeout = holdTimeout
    self.drainTimeout = drainTimeout
    self.connections = connections
    self.allowedRanges = allowedRanges
  }
}

/// `maximum_failovers`: `count` automatic changes of primary in any span of `within`.
package struct FailoverLimit: Hashable, Sendable {
  package var count: Int
  package var within: Duration

  package init(count: Int, within: Duration) {
    self.count = count
    self.within = within
  }
}

/// What the health score, 0 to 100, does before probes fail. Nil: nothing.
package struct Predictive: Hashable, Sendable {
  /// Below it, a member gets less traffic, down to none at `ejectBelow` or 0.
  package var degradeBelow: Int?
  /// Below it, a member is not eligible while another is.
  package var ejectBelow: Int?

  package init(degradeBelow: Int? = nil, ejectBelow: Int? = nil) {
    self.degradeBelow = degradeBelow
    self.ejectBelow = ejectBelow
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
  package var limits: ListenerLimits

  package init(
    name: ListenerName, address: SocketAddress, group: GroupName, role: ListenerRole, clientSpeaksFirst: Bool,
    limits: ListenerLimits = ListenerLimits()
  ) {
    self.name = name
    self.address = address
    self.group = group
    self.role = role
    self.clientSpeaksFirst = clientSpeaksFirst
    self.limits = limits
  }
}
