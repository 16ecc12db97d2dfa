import LebaConfiguration
package import Model

/// The answer of `GET /dns/status`.
package struct DNSStatusView: Sendable, Codable {
  /// A name server in use, in the order in which servers are asked when all is well.
  package struct Server: Sendable, Codable {
    package let address: String
    package let answered: UInt64
    package let failed: UInt64
    /// For how long it is asked last, because it did not answer; left out for a server in good standing.
    package let askedLastForSeconds: Double?

    package init(address: String, answered: UInt64, failed: UInt64, askedLastForSeconds: Double?) {
      self.address = address
      self.answered = answered
      self.failed = failed
      self.askedLastForSeconds = askedLastForSeconds
    }
  }

  package let domains: [DomainView]
  package let count: Int
  package let servers: [Server]

  package init(domains: [DomainView], servers: [Server]) {
    self.domains = domains
    count = domains.count
    self.servers = servers
  }
}

/// What discovery knows of one name: an item of `GET /dns/status`, and what `leba resolve --json` prints.
package struct DomainView: Sendable, Codable {
  /// An endpoint in use.
  package struct Record: Sendable, Codable {
    package let address: String
    /// Of SRV records; left out where the configuration says the port.
    package let port: Int?
    /// SRV priority; 0 for addresses.
    package let tier: Int
    package let weight: Int?
    /// Less than zero once the answer is older than it may be, which happens while lookups fail.
    package let ttlLeftSeconds: Double
    /// False for one that the last answer left out and that is kept because the set rotates.
    package let named: Bool

    package init(address: String, port: Int?, tier: Int, weight: Int?, ttlLeftSeconds: Double, named: Bool) {
      self.address = address
      self.port = port
      self.tier = tier
      self.weight = weight
      self.ttlLeftSeconds = ttlLeftSeconds
      self.named = named
    }
  }

  /// One question of the last lookup.
  package struct Question: Sendable, Codable {
    package let name: String
    /// `A`, `AAAA`, `SRV`, `TXT`.
    package let type: String
    package let outcome: String
    package let detail: String
    package let server: String?

    package init(name: String, type: String, outcome: String, detail: String, server: String?) {
      self.name = name
      self.type = type
      self.outcome = outcome
      self.detail = detail
      self.server = server
    }
  }

  /// An address that no backend may have.
  package struct Refused: Sendable, Codable {
    package let address: String
    package let reason: String

    package init(address: String, reason: String) {
      self.address = address
      self.reason = reason
    }
  }

  /// What TXT strings say; what they do not say is left out.
  package struct Attributes: Sendable, Codable {
    package let isPrimary: Bool?
    package let groupName: String?
    package let weight: Int?
    package let zone: String?
    package let mode: String?
    package let maintenance: Bool?

    package init(_ attributes: TextAttributes) {
      isPrimary = attributes.isPrimary
      groupName = attributes.group?.rawValue
      weight = attributes.weight
      zone = attributes.zone
      mode = attributes.mode?.rawValue
      maintenance = attributes.maintenance
    }
  }

  package var domain: String
  /// `address` or `srv`.
  package var record: String
  /// Where the records come from: `dns`, `hosts_file`, `literal`, or `memory` (an earlier run; no server has answered since).
  package var source: String
  /// Of the last lookup: `answer`, `empty`, a failure, or `pending` before the first.
  package var outcome: String
  /// The server that answered, or whose failure was the most telling.
  package var server: String?
  package var records: [Record]
  /// The smallest of `records`.
  package var ttlLeftSeconds: Double?
  package var nextRefreshSeconds: Double
  /// Since a server last vouched for the records, also for having none.
  package var ageSeconds: Double?
  package var lookingUp: Bool
  package var lastLookupSeconds: Double?
  package var consecutiveFailures: Int
  package var questions: [Question]
  package var attributes: Attributes?
  package var refused: [Refused]
  package var lookups: [String: UInt64]

  package init(
    domain: String, record: String, source: String, outcome: String, server: String?, records: [Record],
    nextRefreshSeconds: Double, ageSeconds: Double?, lookingUp: Bool, lastLookupSeconds: Double?, consecutiveFailures: Int,
    questions: [Question], attributes: TextAttributes?, refused: [Refused], lookups: [String: UInt64]
  ) {
    self.domain = domain
    self.record = record
    self.source = source
    self.outcome = outcome
    self.server = server
    self.records = records
    ttlLeftSeconds = records.map(\.ttlLeftSeconds).min()
    self.nextRefreshSeconds = nextRefreshSeconds
    self.ageSeconds = ageSeconds
    self.lookingUp = lookingUp
    self.lastLookupSeconds = lastLookupSeconds
    self.consecutiveFailures = consecutiveFailures
    self.questions = questions
    self.attributes = attributes.map(Attributes.init)
    self.refused = refused
    self.lookups = lookups
  }
}

/// An item of `GET /dns/backends`: the keys of the file, without those that nobody stated.
struct DNSEntryView: Encodable {
  let domain: String
  let `protocol`: String
  let port: Int?
  let record: String
  let weight: Int?
  let isPrimary: Bool?
  let groupName: String?
  let zone: String?
  let resolutionTimeout: String
  let resolutionInterval: String?
  let ttl: String?
  let txt: Bool
  /// `file`, `string` or `api`.
  let origin: String

  init(_ entry: DNSEntry) {
    domain = entry.domain.rawValue
    `protocol` = entry.proto.rawValue
    port = entry.port.map(Int.init)
    record = entry.record.rawValue
    weight = entry.weight
    isPrimary = entry.isPrimary
    groupName = entry.group?.rawValue
    zone = entry.zone
    resolutionTimeout = entry.lookupTimeout.text
    resolutionInterval = entry.maximumInterval?.text
    ttl = entry.ttl?.text
    txt = entry.readsText
    origin = entry.origin.rawValue
  }
}
