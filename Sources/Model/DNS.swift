/// Which records of a name lead to backends.
package enum RecordKind: String, CaseIterable, Hashable, Sendable {
  /// A and AAAA; the port comes from the configuration.
  case address
  /// SRV (RFC 2782); port, tier and weight come from the records.
  case srv
}

/// A name discovery keeps resolved, whatever the number of groups that use it.
package struct DomainSpecification: Hashable, Sendable {
  package var domain: DomainName
  package var record: RecordKind
  /// Whether the name's TXT strings are read as well (`txt: true`).
  package var readsText: Bool
  /// The ports the groups connect to under this name, so that an answer that names one of our own listeners can be refused.
  package var ports: Set<UInt16>
  /// The whole lookup, all tries and servers.
  package var lookupTimeout: Duration
  /// An upper bound on the time between lookups (`resolution_interval`).
  package var maximumInterval: Duration?
  /// Replaces the TTL of the answer (`ttl`).
  package var ttl: Duration?

  package init(
    domain: DomainName, record: RecordKind = .address, readsText: Bool = false, ports: Set<UInt16> = [],
    lookupTimeout: Duration = .seconds(5), maximumInterval: Duration? = nil, ttl: Duration? = nil
  ) {
    self.domain = domain
    self.record = record
    self.readsText = readsText
    self.ports = ports
    self.lookupTimeout = lookupTimeout
    self.maximumInterval = maximumInterval
    self.ttl = ttl
  }
}

package struct ResolverSettings: Hashable, Sendable {
  /// Empty: the name servers of /etc/resolv.conf.
  package var servers: [SocketAddress]
  /// Appended to names of one label, in this order, before such a name is asked for as it is. Empty: no search.
  package var searchDomains: [DomainName]
  /// One try at one server.
  package var timeout: Duration
  /// Tries after the first.
  package var retryAttempts: Int
  package var minimumTTL: Duration
  package var maximumTTL: Duration
  package var negativeTTL: Duration
  package var holdRemoved: Duration
  package var allowedRanges: [AddressRange]

  package init(
    servers: [SocketAddress] = [], searchDomains: [DomainName] = [], timeout: Duration = .milliseconds(300),
    retryAttempts: Int = 2, minimumTTL: Duration = .seconds(1), maximumTTL: Duration = .seconds(300),
    negativeTTL: Duration = .seconds(5), holdRemoved: Duration = .seconds(10), allowedRanges: [AddressRange] = []
  ) {
    self.servers = servers
    self.searchDomains = searchDomains
    self.timeout = timeout
    self.retryAttempts = retryAttempts
    self.minimumTTL = minimumTTL
    self.maximumTTL = maximumTTL
    self.negativeTTL = negativeTTL
    self.holdRemoved = holdRemoved
    self.allowedRanges = allowedRanges
  }
}

/// One place that a name leads to.
package struct DiscoveredEndpoint: Hashable, Comparable, Sendable {
  package var address: IPAddress
  /// From SRV; nil where the records name none and the configuration's port counts.
  package var port: UInt16?
  /// SRV priority: the lowest with an eligible backend serves. 0 for addresses.
  package var tier: UInt16
  /// From SRV; nil where the records carry none.
  package var weight: UInt16?

  package init(_ address: IPAddress, port: UInt16? = nil, tier: UInt16 = 0, weight: UInt16? = nil) {
    self.address = address
    self.port = port
    self.tier = tier
    self.weight = weight
  }

  package static func < (a: DiscoveredEndpoint, b: DiscoveredEndpoint) -> Bool {
    (a.tier, a.address, a.port ?? 0) < (b.tier, b.address, b.port ?? 0)
  }
}

/// What the TXT strings of a name say about it ("Topology in DNS"). Nil where they say nothing.
package struct TextAttributes: Hashable, Sendable {
  package var isPrimary: Bool?
  package var group: GroupName?
  /// 0 to 65535.
  package var weight: Int?
  package var zone: String?
  package var mode: GroupMode?
  package var maintenance: Bool?

  package init(
    isPrimary: Bool? = nil, group: GroupName? = nil, weight: Int? = nil, zone: String? = nil, mode: GroupMode? = nil,
    maintenance: Bool? = nil
  ) {
    self.isPrimary = isPrimary
    self.group = group
    self.weight = weight
    self.zone = zone
    self.mode = mode
    self.maintenance = maintenance
  }
}

/// What the resolver found out about one domain: the whole endpoint set, not a difference.
package struct DiscoveryUpdate: Hashable, Sendable {
  package enum Outcome: Hashable, Sendable {
    /// The usable endpoints, sorted, no address and port twice. A part of the lookup that failed contributes what it last brought.
    /// Never empty unless `isDrained`.
    case answer([DiscoveredEndpoint])
    /// The authority says that the name leads nowhere (NXDOMAIN or NODATA for all that was asked). Only this removes.
    case empty
    /// Nothing was learned: the last good set stays.
    case failed(DNSFailure)
  }

  package let domain: DomainName
  package let outcome: Outcome
  /// The answer holds an SRV record with the target `.`: the endpoints it does not name any more are not to be used any more.
  package let isDrained: Bool
  /// What the TXT strings say, as far as is known; nil where they are not read, or were never answered.
  package let attributes: TextAttributes?
  /// Nil for news. Else the answer is remembered from an earlier run, and this old.
  package let age: Duration?
  /// A scheduled lookup brought what the one before it brought: no news to anybody who heard that.
  package var isRepeat = false

  package init(
    domain: DomainName, outcome: Outcome, isDrained: Bool = false, attributes: TextAttributes? = nil, age: Duration? = nil
  ) {
    self.domain = domain
    self.outcome = outcome
    self.isDrained = isDrained
    self.attributes = attributes
    self.age = age
  }
}

/// The last good answer for a name, as it is kept over a restart.
package struct RememberedAnswer: Hashable, Sendable {
  package var endpoints: [DiscoveredEndpoint]
  package var attributes: TextAttributes?
  /// Since a name server last vouched for it.
  package var age: Duration

  package init(endpoints: [DiscoveredEndpoint], attributes: TextAttributes? = nil, age: Duration) {
    self.endpoints = endpoints
    self.attributes = attributes
    self.age = age
  }
}

package enum DNSFailure: String, CaseIterable, Hashable, Sendable {
  case timedOut = "timeout"
  case serverFailure = "servfail"
  case refused
  case malformed
  /// No name server could be reached at all.
  case noServer = "no_server"
  /// Every address of the answer lies in a range that discovered addresses may not lie in.
  case allRefused = "addresses_refused"
  case other
}
