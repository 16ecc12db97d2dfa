/// How a group's backends are connected to.
package struct UpstreamConnections: Hashable, Sendable {
  /// Connections to each backend at a time, in the whole process; nil: as many as there are sessions.
  package var maximum: Int?
  /// After so long without an answer a second connect is begun; zero: never.
  package var hedge: Duration
  /// What each connection begins with, if anything.
  package var proxyProtocol: ProxyProtocol?

  package init(maximum: Int? = nil, hedge: Duration = .zero, proxyProtocol: ProxyProtocol? = nil) {
    self.maximum = maximum
    self.hedge = hedge
    self.proxyProtocol = proxyProtocol
  }
}

/// The header by which a backend learns who the client is: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
package enum ProxyProtocol: String, CaseIterable, Hashable, Sendable, BitwiseCopyable {
  /// A line of text.
  case v1
  /// Binary.
  case v2
}

extension ProxyProtocol {
  /// What a header of version 2 begins with.
  package static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

  /// Of a connection that is made for nobody, as a probe's is, or for somebody without an address.
  package var headerWithoutAddresses: [UInt8] {
    switch self {
    case .v1: Array("PROXY UNKNOWN\r\n".utf8)
    case .v2: Self.signature + [0x20, 0, 0, 0]
    }
  }
}

/// What a listener allows.
package struct ListenerLimits: Hashable, Sendable {
  /// A session through which no byte came from either side for so long ends; nil: it may be silent for ever.
  package var idleTimeout: Duration?
  /// A session ends so long after it was accepted, whatever it does; nil: never.
  package var maximumDuration: Duration?
  /// Connections at a time; nil: as many as the process may have.
  package var maximumConnections: Int?

  package init(idleTimeout: Duration? = nil, maximumDuration: Duration? = nil, maximumConnections: Int? = nil) {
    self.idleTimeout = idleTimeout
    self.maximumDuration = maximumDuration
    self.maximumConnections = maximumConnections
  }
}
