package import Model
import Yams

/// The body of `POST /dns/backends`: an item of `dns_backends`, its durations as the file writes them.
///
/// `Codable`, so that the journal can keep it over a restart as it came.
package struct DNSEntryRequest: Codable, Hashable, Sendable {
  package var domain: String
  package var proto: String?
  package var port: Int?
  package var record: String?
  package var weight: Int?
  package var isPrimary: Bool?
  package var groupName: String?
  package var zone: String?
  package var resolutionTimeout: String?
  package var resolutionInterval: String?
  package var ttl: String?
  package var txt: Bool?

  package enum CodingKeys: String, CodingKey, CaseIterable {
    case domain
    case proto = "protocol"
    case port, record, weight
    case isPrimary = "is_primary"
    case groupName = "group_name"
    case zone
    case resolutionTimeout = "resolution_timeout"
    case resolutionInterval = "resolution_interval"
    case ttl, txt
  }

  package init(
    domain: String, proto: String? = nil, port: Int? = nil, record: String? = nil, weight: Int? = nil, isPrimary: Bool? = nil,
    groupName: String? = nil, zone: String? = nil, resolutionTimeout: String? = nil, resolutionInterval: String? = nil,
    ttl: String? = nil, txt: Bool? = nil
  ) {
    self.domain = domain
    self.proto = proto
    self.port = port
    self.record = record
    self.weight = weight
    self.isPrimary = isPrimary
    self.groupName = groupName
    self.zone = zone
    self.resolutionTimeout = resolutionTimeout
    self.resolutionInterval = resolutionInterval
    self.ttl = ttl
    self.txt = txt
  }

  /// As the file would have it, under the rules of the file.
  func declaration(reader: Reader) -> DNSBackendDeclaration? {
    let pairs = CodingKeys.allCases.compactMap { key in text(of: key).map { (Node(key.rawValue), Node($0)) } }
    return Format.dnsBackend(origin: .api).read(Value(node: Node(pairs), name: "the entry", reader: reader))
  }

  private func text(of key: CodingKeys) -> String? {
    switch key {
    case .domain: domain
    case .proto: proto
    case .port: port.map(String.init)
    case .record: record
    case .weight: weight.map(String.init)
    case .isPrimary: isPrimary.map(String.init)
    case .groupName: groupName
    case .zone: zone
    case .resolutionTimeout: resolutionTimeout
    case .resolutionInterval: resolutionInterval
    case .ttl: ttl
    case .txt: txt.map(String.init)
    }
  }
}

/// Why an entry that somebody asked for, or wanted gone, while we run cannot be.
package enum DNSEntryRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  /// The domain has an entry already.
  case exists(DomainName)
  /// The entry is the file's, which only a person changes.
  case declared(DomainName, file: String)
  case unknown(DomainName)
  case invalid(reasons: [String])

  package var description: String {
    switch self {
    case .exists(let domain): "\(quoted(domain.rawValue)) has an entry already"
    case .declared(let domain, let file): "\(quoted(domain.rawValue)) is declared in \(file); remove it there"
    case .unknown(let domain): "\(quoted(domain.rawValue)) has no entry"
    case .invalid(let reasons): reasons.joined(separator: "; ")
    }
  }
}
