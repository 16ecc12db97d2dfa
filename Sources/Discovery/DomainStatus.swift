package import Model

/// What discovery knows of one name, for the API, the metrics and `leba resolve`. Instants are on the monotonic clock.
package struct DomainStatus: Hashable, Sendable {
  package struct Record: Hashable, Sendable {
    package let address: IPAddress
    /// When the answer that named it may no longer be believed. Past while DNS fails; the address stays.
    package let expires: Instant
  }

  package struct Refused: Hashable, Sendable {
    package let address: IPAddress
    /// `loopback`, `own listener`, …
    package let reason: String
  }

  /// What the last lookup of one family brought.
  package struct Family: Hashable, Sendable {
    package var label: LookupLabel
    /// `NXDOMAIN`, `aliasLoop`, …; empty when the label says it all.
    package var detail: String
    /// The name server that answered, or whose failure was the most telling.
    package var server: SocketAddress?
  }

  /// Where the addresses come from.
  package enum Source: String, Hashable, Sendable {
    case dns
    case hostsFile = "hosts_file"
    case literal
  }

  package let domain: DomainName
  package var source = Source.dns
  /// The last good addresses.
  package var records: [Record] = []
  /// Addresses of the last answers that the filter refused; at most 16 are kept, all are counted.
  package var refused: [Refused] = []
  package var refusedTotal: UInt64 = 0
  package var isLookingUp = false
  package var nextLookup: Instant
  package var a: Family?
  package var aaaa: Family?
  package var lastOutcome: LookupLabel?
  package var lastLookupEnded: Instant?
  /// When a server last vouched for the set, also for an empty one.
  package var lastAnswered: Instant?
  package var consecutiveFailures = 0
  /// Lookups (both families together) by how they ended.
  package var lookups: [LookupLabel: UInt64] = [:]
  package var lastLookupDuration: Duration?
  /// The sum over all lookups, whose number is the sum of `lookups`.
  package var lookupDurations = Duration.zero
  package var addedAddresses: UInt64 = 0
  package var removedAddresses: UInt64 = 0

  init(domain: DomainName, nextLookup: Instant) {
    self.domain = domain
    self.nextLookup = nextLookup
  }
}

/// How a lookup ended: the `outcome` label of `leba_dns_lookups_total`.
package enum LookupLabel: Hashable, Sendable, CaseIterable {
  case answer
  case empty
  case failed(DNSFailure)

  package static var allCases: [LookupLabel] { [.answer, .empty] + DNSFailure.allCases.map { .failed($0) } }

  package var text: String {
    switch self {
    case .answer: "answer"
    case .empty: "empty"
    case .failed(let failure): failure.rawValue
    }
  }
}
