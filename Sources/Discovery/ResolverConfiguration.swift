import Model

/// The name servers of resolv.conf(5). Its timeouts and search list are not ours: the configuration has its own.
struct ResolverConfiguration: Hashable, Sendable {
  /// glibc stops at three; more are used here, but not without end.
  static let maximumServers = 8

  private(set) var servers: [SocketAddress] = []
  /// `nameserver` lines that cannot be used: no address, or a link-local one with an interface.
  private(set) var rejected: [String] = []

  init(parsing text: String) {
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.prefix { $0 != "#" && $0 != ";" }.split(whereSeparator: \.isWhitespace)
      guard fields.first == "nameserver", fields.count > 1 else { continue }
      guard let address = IPAddress(String(fields[1])) else {
        if rejected.count < Self.maximumServers { rejected.append(String(fields[1].prefix(64))) }
        continue
      }
      let server = SocketAddress.ip(address, port: 53)
      if servers.count < Self.maximumServers && !servers.contains(server) { servers.append(server) }
    }
  }
}
