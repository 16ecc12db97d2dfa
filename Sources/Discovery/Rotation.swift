import Model

/// Tells a name that rotates from one that changes.
///
/// Weighted and geographic DNS, and resolvers that know the old and the new answer for half a minute after a switch
/// (aws-mysql-jdbc#377), give another part of the same set each time. To follow each answer would churn connections
/// (pgbouncer#882). The sign is an endpoint that comes back soon after it was left out: from then on, whoever was named within
/// the window stays. A change without a return is followed at once.
struct Rotation: Hashable, Sendable {
  struct Identity: Hashable, Sendable {
    let address: IPAddress
    let port: UInt16?

    init(_ endpoint: DiscoveredEndpoint) {
      address = endpoint.address
      port = endpoint.port
    }
  }

  private struct Departed: Hashable, Sendable {
    var endpoint: DiscoveredEndpoint
    var lastNamed: Instant
  }

  private var named: [DiscoveredEndpoint] = []
  private var departed: [Departed] = []
  private var rotatesUntil: Instant?
  /// Those of the last result that the answer did not name.
  private(set) var kept: Set<DiscoveredEndpoint> = []

  /// - Parameters:
  ///   - answer: what the answer names, no address and port twice.
  ///   - window: for how long an endpoint that is left out is remembered, and kept once the set is known to rotate.
  /// - Returns: the sorted set to use.
  mutating func take(_ answer: [DiscoveredEndpoint], window: Duration, limit: Int, now: Instant) -> [DiscoveredEndpoint] {
    let present = Set(answer.map(Identity.init))
    departed.removeAll { now - $0.lastNamed > window }
    if departed.contains(where: { present.contains(Identity($0.endpoint)) }) { rotatesUntil = now + window }
    departed.removeAll { present.contains(Identity($0.endpoint)) }
    departed += named.filter { !present.contains(Identity($0)) }.map { Departed(endpoint: $0, lastNamed: now) }
    // The latest are the likeliest to come back.
    departed = departed.suffix(limit)
    named = answer
    guard let rotatesUntil, now < rotatesUntil else {
      self.rotatesUntil = nil
      kept = []
      return answer
    }
    kept = Set(departed.suffix(max(0, limit - answer.count)).map(\.endpoint))
    return (answer + kept).sorted()
  }
}
