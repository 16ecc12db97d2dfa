/// What a backend speaks. The proxy relays all of these as bytes; the protocol decides the default probe and who speaks first.
package enum BackendProtocol: String, CaseIterable, Hashable, Sendable {
  case tcp, http, https, postgres, mysql, redis, grpc, tls

  /// Whether the client sends the first byte. Then no upstream connection is needed until it has: a thousand silent clients
  /// must not use up a server's slots. For bare TCP nobody knows, so the upstream is connected at once.
  package var clientSpeaksFirst: Bool {
    switch self {
    case .http, .https, .postgres, .redis, .grpc, .tls: true
    case .tcp, .mysql: false
    }
  }
}

package enum GroupMode: String, CaseIterable, Hashable, Sendable {
  /// All traffic goes to one primary; without an eligible one it waits.
  case activePassive = "active-passive"
  /// Traffic is spread over all eligible members.
  case normal
}

package enum Balance: String, CaseIterable, Hashable, Sendable {
  case roundRobin = "round_robin"
  case leastConnections = "least_connections"
  /// Of two chosen at random, the one with the lower product of latency and load; a peak counts at once, and fades.
  case peakEWMA = "peak_ewma"
  /// By the client's address. When backends come and go, many clients move.
  case sourceHash = "source_hash"
  /// By the client's address. When a backend comes or goes, only its own share of the clients moves.
  case consistentHash = "consistent_hash"
}

/// What a backend says it is. `unknown` is not `primary`.
package enum Role: String, Hashable, Sendable {
  case primary, replica, unknown
}

/// Which members a listener's new connections may reach.
package enum ListenerRole: String, CaseIterable, Hashable, Sendable {
  case primary, replica, any
}

package enum EngineChoice: String, CaseIterable, Hashable, Sendable {
  case auto
  case ioUring = "io_uring"
  case epoll
}
