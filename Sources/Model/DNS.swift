/// A name discovery keeps resolved, whatever the number of groups that use it.
package struct DomainSpecification: Hashable, Sendable {
  package var domain: DomainName
  /// The ports the groups connect to under this name, so that an answer that names one of our own listeners can be refused.
  package var ports: Set<UInt16>
  /// The whole lookup, all tries and servers.
  package var lookupTimeout: Duration
  /// An upper bound on the time between lookups (`resolution_interval`).
  package var maximumInterval: Duration?
  /// Replaces the TTL of the answer (`ttl`).
  package var ttl: Duration?

  package init(
    domain: DomainName, ports: Set<UInt16> = [], lookupTimeout: Duration = .seconds(5), maximumInterval: Duration? = nil,
    ttl: Duration? = nil
  ) {
    self.domain = domain
    self.ports = ports
    self.lookupTimeout = lookupTimeout
    self.maximumInterval = maximumInterval
    self.ttl = ttl
  }
}

package struct ResolverSettings: Hashable, Sendable {
  /// Empty: the name servers of /etc/resolv.conf.
  package var servers: [SocketAddress]
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
    servers: [SocketAddress] = [], timeout: Duration = .milliseconds(300), retryAttempts: Int = 2,
    minimumTTL: Duration = .seconds(1), maximumTTL: Duration = .seconds(300), negativeTTL: Duration = .seconds(5),
    holdRemoved: Duration = .seconds(10), allowedRanges: [AddressRange] = []
  ) {
    self.servers = servers
    self.timeout = timeout
    self.retryAttempts = retryAttempts
    self.minimumTTL = minimumTTL
    self.maximumTTL = maximumTTL
    self.negativeTTL = negativeTTL
    self.holdRemoved = holdRemoved
    self.allowedRanges = allowedRanges
  }
}

/// What the resolver found out about one domain: the whole address set, not a difference.
package struct DiscoveryUpdate: Hashable, Sendable {
  package enum Outcome: Hashable, Sendable {
    /// At least one usable address, sorted, without repeats. A family that failed contributes its last good addresses.
    case answer([IPAddress])
    /// The authority says that the name has no address (NXDOMAIN or NODATA for both families). Only this removes.
    case empty
    /// Nothing was learned: the last good set stays.
    case failed(DNSFailure)
  }

  package let domain: DomainName
  package let outcome: Outcome

  package init(domain: DomainName, outcome: Outcome) {
    self.domain = domain
    self.outcome = outcome
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
