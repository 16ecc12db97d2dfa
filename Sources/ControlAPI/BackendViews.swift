import Failover
package import Model

/// A backend that the file or a request declares, whether a group uses it or not.
package struct DeclaredBackend: Hashable, Sendable {
  package enum Origin: String, Hashable, Sendable {
    case file, api
    /// Nobody declares it: DNS found it, or a group names it by its address.
    case found
  }

  package var id: BackendID
  package var address: SocketAddress
  package var proto: BackendProtocol
  package var weight: Int
  package var zone: String?
  package var origin: Origin

  package init(id: BackendID, address: SocketAddress, proto: BackendProtocol, weight: Int, zone: String?, origin: Origin) {
    self.id = id
    self.address = address
    self.proto = proto
    self.weight = weight
    self.zone = zone
    self.origin = origin
  }

  init(_ member: MemberSnapshot) {
    self.init(
      id: member.id, address: member.address, proto: member.proto, weight: member.weight, zone: member.zone, origin: .found)
  }
}

/// What probes and sessions of one backend in one group added up to.
package struct MemberStatistics: Hashable, Sendable {
  package struct Failure: Hashable, Sendable {
    package var failure: ProbeFailure
    package var at: Instant

    package init(_ failure: ProbeFailure, at: Instant) {
      self.failure = failure
      self.at = at
    }
  }

  package var probesPassed: Int
  package var probesFailed: Int
  /// The last failed probe, also of a backend that is up again; nil where there was none, or nobody remembers.
  package var lastFailure: Failure?
  /// From its clients to the backend, and back; nil where nobody counts by backend.
  package var bytesReceived: UInt64?
  package var bytesSent: UInt64?

  package init(
    probesPassed: Int, probesFailed: Int, lastFailure: Failure? = nil, bytesReceived: UInt64? = nil, bytesSent: UInt64? = nil
  ) {
    self.probesPassed = probesPassed
    self.probesFailed = probesFailed
    self.lastFailure = lastFailure
    self.bytesReceived = bytesReceived
    self.bytesSent = bytesSent
  }
}

/// An item of `GET /backends`.
struct BackendView: Encodable {
  let backend: DeclaredBackend
  let standings: [BackendStanding]

  enum CodingKeys: String, CodingKey { case id, address, port, `protocol`, weight, zone, origin, groups }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(backend.id.rawValue, forKey: .id)
    try values.encode(backend.address.host, forKey: .address)
    try values.encode(backend.address.port, forKey: .port)
    try values.encode(backend.proto.rawValue, forKey: .protocol)
    try values.encode(backend.weight, forKey: .weight)
    try values.encode(backend.zone, forKey: .zone)
    try values.encode(backend.origin.rawValue, forKey: .origin)
    try values.encode(standings, forKey: .groups)
  }
}

/// What a backend is in one of its groups.
struct BackendStanding: Encodable {
  let group: GroupName
  let isPrimary: Bool
  let member: MemberSnapshot
  let lastFailure: MemberStatistics.Failure?
  let now: Instant

  enum CodingKeys: String, CodingKey {
    case group, primary, health, healthSince, healthForSeconds, score, role, roleAgeSeconds, lagSeconds, lagBytes, administrative,
      eligible, reason, lastFailure
  }

  private struct FailureView: Encodable {
    let kind: String
    let detail: String
    let at: String
    let agoSeconds: Double
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(group.rawValue, forKey: .group)
    try values.encode(isPrimary, forKey: .primary)
    try values.encode(member.health.rawValue, forKey: .health)
    try values.encode(member.healthSince.wallClock(now: now), forKey: .healthSince)
    try values.encode((now - member.healthSince).seconds, forKey: .healthForSeconds)
    try values.encode(member.score, forKey: .score)
    try values.encode((member.role ?? .unknown).rawValue, forKey: .role)
    try values.encode(member.roleAge?.seconds, forKey: .roleAgeSeconds)
    try values.encode(member.replication?.lagTime?.seconds, forKey: .lagSeconds)
    try values.encode(member.replication?.lagBytes, forKey: .lagBytes)
    try values.encode(member.administrative.rawValue, forKey: .administrative)
    try values.encode(member.eligible, forKey: .eligible)
    try values.encode(member.reason, forKey: .reason)
    let failure = lastFailure.map {
      FailureView(
        kind: $0.failure.kind.rawValue, detail: $0.failure.detail, at: $0.at.wallClock(now: now), agoSeconds: (now - $0.at).seconds)
    }
    try values.encode(failure, forKey: .lastFailure)
  }
}

/// An item of `GET /stats/backends`: all groups that have the backend together.
struct BackendStatisticsView: Encodable {
  let id: String
  var groups: [String] = []
  var activeConnections = 0
  var probesPassed = 0
  var probesFailed = 0
  var bytesReceived: UInt64?
  var bytesSent: UInt64?

  init(_ id: BackendID) { self.id = id.rawValue }

  mutating func add(_ group: GroupName, connections: Int, _ statistics: MemberStatistics?) {
    groups.append(group.rawValue)
    activeConnections += connections
    guard let statistics else { return }
    probesPassed += statistics.probesPassed
    probesFailed += statistics.probesFailed
    if let bytes = statistics.bytesReceived { bytesReceived = (bytesReceived ?? 0) &+ bytes }
    if let bytes = statistics.bytesSent { bytesSent = (bytesSent ?? 0) &+ bytes }
  }
}
