package import Model

/// One endpoint whose host is a name: an item of `dns_backends` or `dns_backend_strings`, or one made through the API.
///
/// What is nil was not stated: there DNS may have a word when `readsText`, and then the default counts.
package struct DNSEntry: Hashable, Sendable {
  package enum Origin: String, Hashable, Sendable {
    case file, string, api
  }

  package var domain: DomainName
  package var record: RecordKind
  package var proto: BackendProtocol
  /// With `.srv` only where the group listens by default; then the records say where to connect.
  package var port: UInt16?
  package var weight: Int?
  package var isPrimary: Bool?
  package var group: GroupName?
  package var zone: String?
  package var lookupTimeout: Duration
  package var maximumInterval: Duration?
  package var ttl: Duration?
  package var readsText: Bool
  package var origin: Origin
}

extension DomainSpecification {
  /// `ports` is what the entry connects to, shared with other domains where it is the same.
  init(_ entry: DNSEntry, ports: Set<UInt16>) {
    self.init(
      domain: entry.domain, record: entry.record, readsText: entry.readsText, ports: ports, lookupTimeout: entry.lookupTimeout,
      maximumInterval: entry.maximumInterval, ttl: entry.ttl)
  }

  /// Entries that share a domain share its lookups, with the strictest bounds of all.
  mutating func add(_ entry: DNSEntry) {
    readsText = readsText || entry.readsText
    if entry.record == .address, let port = entry.port { ports.insert(port) }
    lookupTimeout = min(lookupTimeout, entry.lookupTimeout)
    maximumInterval = smaller(maximumInterval, entry.maximumInterval)
    ttl = smaller(ttl, entry.ttl)
  }

  private func smaller(_ a: Duration?, _ b: Duration?) -> Duration? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }
}
