package import Model

/// What is known of one name server, for the API and the metrics.
package struct ServerStatus: Hashable, Sendable {
  package let address: SocketAddress
  /// Tries that it answered, with whatever code.
  package internal(set) var answered: UInt64 = 0
  /// Tries that it let pass, or lost to a server that was asked after it.
  package internal(set) var failed: UInt64 = 0
  /// Until then it is asked last; nil for a server in good standing.
  package internal(set) var isAskedLastUntil: Instant?
}

/// Which name server is asked first.
///
/// The configured order holds, for it may mean something, except that a server which did not answer is asked last for a
/// while. When that while is over, one lookup tries it again and the others go on without: a dead server costs one
/// timeout now and then, not one per lookup.
struct ServerScores: Sendable {
  static let firstPenalty = Duration.seconds(5)
  static let longestPenalty = Duration.seconds(80)

  private struct Score: Sendable {
    var failures: Int
    var penaltyEnds: Instant
    /// A lookup tries the server again although it failed; only its failure counts.
    var isProbed = false
  }

  private(set) var servers: [SocketAddress]
  private var scores: [SocketAddress: Score] = [:]
  private var counts: [SocketAddress: ServerStatus] = [:]

  init(_ servers: [SocketAddress]) { self.servers = servers }

  /// In the configured order.
  var statuses: [ServerStatus] {
    servers.map { server in
      var status = counts[server] ?? ServerStatus(address: server)
      status.isAskedLastUntil = scores[server]?.penaltyEnds
      return status
    }
  }

  /// Takes a new list, and keeps what is known of the servers that stay.
  mutating func replace(_ servers: [SocketAddress]) {
    self.servers = servers
    scores = scores.filter { servers.contains($0.key) }
    counts = counts.filter { servers.contains($0.key) }
  }

  /// The order for one lookup.
  mutating func order(now: Instant) -> [SocketAddress] {
    var first: [SocketAddress] = []
    var last: [SocketAddress] = []
    for server in servers {
      guard var score = scores[server] else {
        first.append(server)
        continue
      }
      if score.penaltyEnds <= now {
        score.penaltyEnds = now + penalty(score.failures)
        score.isProbed = true
        scores[server] = score
        first.append(server)
      } else {
        last.append(server)
      }
    }
    return first + last
  }

  mutating func answered(_ server: SocketAddress) {
    scores[server] = nil
    counts[server, default: ServerStatus(address: server)].answered += 1
  }

  /// Of tries that were under way together, the first failure counts: they all tell the same.
  mutating func failed(_ server: SocketAddress, now: Instant) {
    guard servers.contains(server) else { return }
    counts[server, default: ServerStatus(address: server)].failed += 1
    var failures = 1
    if let score = scores[server] {
      guard score.isProbed else { return }
      failures = min(score.failures + 1, 10)
    }
    scores[server] = Score(failures: failures, penaltyEnds: now + penalty(failures))
  }

  private func penalty(_ failures: Int) -> Duration {
    min(Self.firstPenalty * (1 << min(failures - 1, 4)), Self.longestPenalty)
  }
}
