import Failover
import Model

struct GroupList: Encodable {
  let groups: [GroupSummary]
  let count: Int
}

/// The contract's fields of a group; `null` where there is nothing to tell.
struct GroupSummary: Encodable {
  let group: GroupSnapshot
  let now: Instant

  init(_ group: GroupSnapshot, now: Instant) {
    self.group = group
    self.now = now
  }

  enum CodingKeys: String, CodingKey {
    case name, mode, primaryKey, primaryHealthy, totalBackends, healthyBackends, failedBackends, lastFailover, failoverCount, state,
      pinned, override, failback, minimumInterval, nextAllowedChange, recentFailovers, suspension, shadow, shadowPrimary
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(group.name.rawValue, forKey: .name)
    try values.encode(group.mode.rawValue, forKey: .mode)
    try values.encode(group.primary?.rawValue, forKey: .primaryKey)
    try values.encode(group.primaryIsHealthy, forKey: .primaryHealthy)
    try values.encode(group.members.count, forKey: .totalBackends)
    try values.encode(group.healthyCount, forKey: .healthyBackends)
    try values.encode(group.failedCount, forKey: .failedBackends)
    try values.encode(group.lastFailover?.wallClock(now: now), forKey: .lastFailover)
    try values.encode(group.failoverCount, forKey: .failoverCount)
    try values.encode(group.state.rawValue, forKey: .state)
    try values.encode(group.pinned, forKey: .pinned)
    try values.encode(group.override.map(OverrideView.init), forKey: .override)
    try values.encode(group.failback.map { FailbackView($0, now: now) }, forKey: .failback)
    try values.encode(group.effectiveInterval.text, forKey: .minimumInterval)
    try values.encode(group.nextAllowedChange?.wallClock(now: now), forKey: .nextAllowedChange)
    try values.encode(group.recentFailovers, forKey: .recentFailovers)
    try values.encode(group.suspension, forKey: .suspension)
    try values.encode(group.isShadow, forKey: .shadow)
    try values.encode(group.shadowPrimary?.rawValue, forKey: .shadowPrimary)
  }
}

/// A person's choice of primary.
private struct OverrideView: Encodable {
  let backendId: String
  let force: Bool
  let pin: Bool

  init(_ override: Group.Override) {
    backendId = override.backend.rawValue
    force = override.force
    pin = override.pin
  }
}

/// A preferred primary that could take over again.
private struct FailbackView: Encodable {
  let failback: FailbackSnapshot
  let now: Instant

  init(_ failback: FailbackSnapshot, now: Instant) {
    self.failback = failback
    self.now = now
  }

  enum CodingKeys: String, CodingKey { case backend, readySince, readyForSeconds, flaps, due }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(failback.backend.rawValue, forKey: .backend)
    try values.encode(failback.readySince.wallClock(now: now), forKey: .readySince)
    try values.encode((now - failback.readySince).seconds, forKey: .readyForSeconds)
    try values.encode(failback.flaps, forKey: .flaps)
    try values.encode(failback.due?.wallClock(now: now), forKey: .due)
  }
}

struct GroupDetail: Encodable {
  let summary: GroupSummary
  let backends: [MemberView]

  init(_ group: GroupSnapshot, connections: [MemberKey: Int], now: Instant) {
    summary = GroupSummary(group, now: now)
    backends = group.members.map {
      MemberView($0, connections: connections[MemberKey(group: group.name, backend: $0.id)] ?? 0, now: now)
    }
  }

  enum CodingKeys: String, CodingKey { case backends }

  func encode(to encoder: any Encoder) throws {
    try summary.encode(to: encoder)
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(backends, forKey: .backends)
  }
}

/// The contract's fields of a backend in a group.
struct MemberView: Encodable {
  let member: MemberSnapshot
  let connections: Int
  let now: Instant

  init(_ member: MemberSnapshot, connections: Int, now: Instant) {
    self.member = member
    self.connections = connections
    self.now = now
  }

  enum CodingKeys: String, CodingKey {
    case id, address, port, `protocol`, weight, share, tier, zone, health, healthSince, score, role, roleAgeSeconds, lagSeconds,
      lagBytes, timeline, designated, administrative, discovered, eligible, reason, activeConnections
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(member.id.rawValue, forKey: .id)
    try values.encode(member.address.host, forKey: .address)
    try values.encode(member.address.port, forKey: .port)
    try values.encode(member.proto.rawValue, forKey: .protocol)
    try values.encode(member.weight, forKey: .weight)
    try values.encode(member.share, forKey: .share)
    try values.encode(member.tier, forKey: .tier)
    try values.encode(member.zone, forKey: .zone)
    try values.encode(member.health.rawValue, forKey: .health)
    try values.encode(member.healthSince.wallClock(now: now), forKey: .healthSince)
    try values.encode(member.score, forKey: .score)
    try values.encode((member.role ?? .unknown).rawValue, forKey: .role)
    try values.encode(member.roleAge?.seconds, forKey: .roleAgeSeconds)
    try values.encode(member.replication?.lagTime?.seconds, forKey: .lagSeconds)
    try values.encode(member.replication?.lagBytes, forKey: .lagBytes)
    try values.encode(member.replication?.timeline, forKey: .timeline)
    try values.encode(member.designated, forKey: .designated)
    try values.encode(member.administrative.rawValue, forKey: .administrative)
    try values.encode(member.discovered.text(now: now), forKey: .discovered)
    try values.encode(member.eligible, forKey: .eligible)
    try values.encode(member.reason, forKey: .reason)
    try values.encode(connections, forKey: .activeConnections)
  }
}

extension Member.Discovered {
  fileprivate func text(now: Instant) -> String {
    since.map { "\(words) since \($0.wallClock(now: now))" } ?? words
  }

  /// Without the time it has been so.
  var words: String {
    switch self {
    case .configured: "configured"
    case .named(let domains): "named by " + domains.sorted().map(\.rawValue).joined(separator: ", ")
    case .absent: "absent"
    case .drained: "drained"
    }
  }

  var since: Instant? {
    switch self {
    case .configured, .named: nil
    case .absent(let since), .drained(let since): since
    }
  }
}

extension SocketAddress {
  /// The address without its port, or the path of a unix socket.
  var host: String {
    switch self {
    case .ip(let address, _): address.description
    case .unix: description
    }
  }
}
