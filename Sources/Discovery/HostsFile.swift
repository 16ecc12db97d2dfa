import Model

/// The hosts file (hosts(5)): one address a line, then its names.
struct HostsFile: Hashable, Sendable {
  private var addresses: [DomainName: [IPAddress]] = [:]

  static let empty = HostsFile(parsing: "")

  /// Lines that do not parse are skipped, as every resolver does: the file is the host's, not ours.
  init(parsing text: String) {
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
      guard let first = fields.first, let address = IPAddress(String(first)) else { continue }
      for name in fields.dropFirst() { addresses[DomainName(String(name)), default: []].append(address) }
    }
  }

  subscript(domain: DomainName) -> [IPAddress]? { addresses[domain] }

  /// `localhost` and names below it, which need no entry to be known.
  func loopback(_ domain: DomainName) -> [IPAddress] {
    addresses[domain] ?? [.v4(0x7F00_0001), .v6(1)]
  }
}
