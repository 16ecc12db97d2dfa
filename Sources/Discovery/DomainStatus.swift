package import Model

/// What discovery knows of one name, for the API, the metrics and `leba resolve`. Instants are on the monotonic clock.
package struct DomainStatus: Hashable, Sendable {
  package struct Record: Hashable, Sendable {
    package let endpoint: DiscoveredEndpoint
    /// When the answer that named it may no longer be believed. Past while DNS fails; the endpoint stays.
    package let expires: Instant
    /// The last answer did not name it, an earlier one of a rotating set did.
    package let isKept: Bool
  }

  package struct Refused: Hashable, Sendable {
    package let address: IPAddress
    /// `loopback`, `own listener`, …
    package let reason: String
  }

  /// One question of the last lookup and what it brought.
  package struct Part: Hashable, Sendable {
    /// A service with more targets than this shows the first.
    static let maximum = 16

    /// `db.example.com`, or a target of the service.
    package let name: String
    /// `A`, `AAAA`, `SRV` or `TXT`.
    package let type: String
    package let label: LookupLabel
    /// `NXDOMAIN`, `SERVFAIL`, …; empty when the label says it all.
    package let detail: String
    /// The name server that answered, or whose failure was the most telling.
    package let server: SocketAddress?
  }

  /// Where the endpoints come from.
  package enum Source: String, Hashable, Sendable {
    case dns
    case hostsFile = "hosts_file"
    case literal
    /// An answer of an earlier run; no server has answered since.
    case memory
  }

  package let domain: DomainName
  package var record: RecordKind
  package var source = Source.dns
  /// The last good endpoints.
  package var records: [Record] = []
  /// Addresses of the last answers that the filter refused; at most 16 are kept, all are counted.
  package var refused: [Refused] = []
  package var refusedTotal: UInt64 = 0
  package var isLookingUp = false
  package var nextLookup: Instant
  package var parts: [Part] = []
  /// What the TXT strings say; nil where they are not read or were never answered.
  package var attributes: TextAttributes?
  /// TXT strings without effect, counted whenever they change.
  package var ignoredText: [IgnoredText: UInt64] = [:]
  package var lastOutcome: LookupLabel?
  package var lastLookupEnded: Instant?
  /// When a server last vouched for the set, also for an empty one.
  package var lastAnswered: Instant?
  package var consecutiveFailures = 0
  /// Lookups (all questions of one together) by how they ended.
  package var lookups: [LookupLabel: UInt64] = [:]
  package var lastLookupDuration: Duration?
  /// The sum over all lookups, whose number is the sum of `lookups`.
  package var lookupDurations = Duration.zero
  package var addedEndpoints: UInt64 = 0
  package var removedEndpoints: UInt64 = 0

  init(domain: DomainName, record: RecordKind, nextLookup: Instant) {
    self.domain = domain
    self.record = record
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
