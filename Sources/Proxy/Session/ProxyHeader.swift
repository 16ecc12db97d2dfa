import Model

/// The header of the PROXY protocol, as bytes.
///
/// Where an address is not known, because the client came through a unix socket, the header says so (UNKNOWN, LOCAL), and the
/// backend takes the connection as one of this host's own.
enum ProxyHeader {
  /// A line of version 1 has at most 107 bytes, and one of version 2 with IPv6 addresses 52.
  static let longest = 107

  /// - Parameter destination: where the client connected to.
  static func bytes(_ version: ProxyProtocol, client: SocketAddress?, destination: SocketAddress?) -> [UInt8] {
    switch version {
    case .v1: line(client?.unmapped, destination?.unmapped)
    case .v2: ProxyProtocol.signature + block(client?.unmapped, destination?.unmapped)
    }
  }

  private static func line(_ client: SocketAddress?, _ destination: SocketAddress?) -> [UInt8] {
    let text =
      switch (client, destination) {
      case (.ip(.v4(let source), let sourcePort)?, .ip(.v4(let target), let targetPort)?):
        "PROXY TCP4 \(IPAddress.v4(source)) \(IPAddress.v4(target)) \(sourcePort) \(targetPort)\r\n"
      case (.ip(.v6(let source), let sourcePort)?, .ip(.v6(let target), let targetPort)?):
        "PROXY TCP6 \(IPAddress.v6(source)) \(IPAddress.v6(target)) \(sourcePort) \(targetPort)\r\n"
      default: ""
      }
    return text.isEmpty ? ProxyProtocol.v1.headerWithoutAddresses : Array(text.utf8)
  }

  /// Version and command, family and transport, length, addresses.
  private static func block(_ client: SocketAddress?, _ destination: SocketAddress?) -> [UInt8] {
    switch (client, destination) {
    case (.ip(.v4(let source), let sourcePort)?, .ip(.v4(let target), let targetPort)?):
      [0x21, 0x11, 0, 12] + bytes(source) + bytes(target) + bytes(sourcePort) + bytes(targetPort)
    case (.ip(.v6(let source), let sourcePort)?, .ip(.v6(let target), let targetPort)?):
      [0x21, 0x21, 0, 36] + bytes(source.number) + bytes(target.number) + bytes(sourcePort) + bytes(targetPort)
    default: [0x20, 0, 0, 0]
    }
  }

  private static func bytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
}

extension SocketAddress {
  /// An IPv4 client of a dual-stack socket is an IPv4 client.
  fileprivate var unmapped: SocketAddress {
    guard case .ip(.v6(let address), let port) = self, address.number >> 32 == 0xFFFF else { return self }
    return .ip(.v4(UInt32(truncatingIfNeeded: address.number)), port: port)
  }
}
