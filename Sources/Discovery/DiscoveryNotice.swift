package import Model

/// Something a person may want to read in the log. Already limited in rate: a DNS outage does not flood.
package struct DiscoveryNotice: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable {
    case noServers = "no_servers"
    case serversChanged = "servers_changed"
    case badName = "bad_name"
    case lookupFailed = "lookup_failed"
    case lookupRecovered = "lookup_recovered"
    case addressesRefused = "addresses_refused"
    case tooManyAddresses = "too_many_addresses"
    case filesNotWatched = "files_not_watched"
    case servedFromMemory = "served_from_memory"
    case textIgnored = "text_ignored"
  }

  package let severity: NoticeSeverity
  package let kind: Kind
  package let domain: DomainName?
  package let text: String

  init(_ severity: NoticeSeverity, _ kind: Kind, _ domain: DomainName? = nil, _ text: String) {
    self.severity = severity
    self.kind = kind
    self.domain = domain
    self.text = text
  }
}

/// Lets a notice pass once per kind and domain and minute, and at most twenty of a kind in that time, whatever the number of
/// domains. The next one that passes tells how many were left out. Pure.
struct NoticeLimiter: Sendable {
  static let interval = Duration.seconds(60)
  static let perKind = 20

  private struct Key: Hashable, Sendable {
    let kind: DiscoveryNotice.Kind
    let domain: DomainName?
  }

  private struct Window: Sendable {
    var began: Instant
    var passed: Set<Key> = []
    var suppressed = 0
  }

  /// One per kind, so the memory is bounded by kinds times `perKind`.
  private var windows: [DiscoveryNotice.Kind: Window] = [:]

  mutating func pass(_ notice: DiscoveryNotice, now: Instant) -> DiscoveryNotice? {
    var window = windows[notice.kind] ?? Window(began: now)
    defer { windows[notice.kind] = window }
    var text = notice.text
    if now - window.began >= Self.interval {
      if window.suppressed > 0 { text += " (\(window.suppressed) more of these were not logged)" }
      window = Window(began: now)
    }
    guard window.passed.count < Self.perKind, window.passed.insert(Key(kind: notice.kind, domain: notice.domain)).inserted else {
      window.suppressed += 1
      return nil
    }
    return DiscoveryNotice(notice.severity, notice.kind, notice.domain, text)
  }
}
