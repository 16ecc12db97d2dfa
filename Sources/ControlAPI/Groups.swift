import Failover
import HTTPTypes
import Hummingbird
import Model

/// `/api/v1/groups`: failover groups and their primaries.
struct Groups {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/groups", [.get: list, .post: create])
    router.resource("/api/v1/groups/:name", [.get: show, .delete: delete])
    router.resource("/api/v1/groups/:name/primary", [.post: setPrimary])
  }

  private func name(_ context: Context) throws -> GroupName { GroupName(try context.parameters.require("name")) }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let view = await plane.view()
    let groups = view.groups.map { GroupSummary($0, now: view.now) }
    return try JSON.response(GroupList(groups: groups, count: groups.count))
  }

  @Sendable private func show(_ request: Request, _ context: Context) async throws -> Response {
    let name = try name(context)
    let view = await plane.view()
    guard let group = view.groups.first(where: { $0.name == name }) else { throw ControlError.command(.unknownGroup(name)) }
    return try await answer(group, now: view.now)
  }

  @Sendable private func create(_ request: Request, _ context: Context) async throws -> Response {
    let body = try await JSON.decode(GroupRequest.self, keys: ["name", "mode", "backends", "primary"], from: request)
    let dryRun = try request.isDryRun
    let group = try await plane.createGroup(body, dryRun: dryRun)
    return try await answer(group, now: plane.view().now, status: dryRun ? .ok : .created)
  }

  @Sendable private func setPrimary(_ request: Request, _ context: Context) async throws -> Response {
    let name = try name(context)
    let body = try await JSON.decode(PrimaryRequest.self, keys: ["backend_id", "force", "pin"], from: request)
    let group = try await plane.setPrimary(body, of: name, dryRun: request.isDryRun)
    return try await answer(group, now: plane.view().now)
  }

  @Sendable private func delete(_ request: Request, _ context: Context) async throws -> Response {
    let name = try name(context)
    try await plane.deleteGroup(name, dryRun: request.isDryRun)
    return try JSON.response(["deleted": name.rawValue])
  }

  private func answer(_ group: GroupSnapshot, now: Instant, status: HTTPResponse.Status = .ok) async throws -> Response {
    let connections = await plane.activeConnections()
    return try JSON.response(GroupDetail(group, connections: connections, now: now), status: status)
  }
}

private struct GroupList: Encodable {
  let groups: [GroupSummary]
  let count: Int
}

/// The contract's fields of a group; `null` where there is nothing to tell.
private struct GroupSummary: Encodable {
  let group: GroupSnapshot
  let now: Instant

  init(_ group: GroupSnapshot, now: Instant) {
    self.group = group
    self.now = now
  }

  enum CodingKeys: String, CodingKey {
    case name, mode, primaryKey, primaryHealthy, totalBackends, healthyBackends, failedBackends, lastFailover, failoverCount, state,
      pinned
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
  }
}

private struct GroupDetail: Encodable {
  let summary: GroupSummary
  let backends: [BackendDetail]

  init(_ group: GroupSnapshot, connections: [MemberKey: Int], now: Instant) {
    summary = GroupSummary(group, now: now)
    backends = group.members.map {
      BackendDetail($0, connections: connections[MemberKey(group: group.name, backend: $0.id)] ?? 0, now: now)
    }
  }

  enum CodingKeys: String, CodingKey { case backends }

  func encode(to encoder: any Encoder) throws {
    try summary.encode(to: encoder)
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(backends, forKey: .backends)
  }
}

private struct BackendDetail: Encodable {
  let member: MemberSnapshot
  let connections: Int
  let now: Instant

  init(_ member: MemberSnapshot, connections: Int, now: Instant) {
    self.member = member
    self.connections = connections
    self.now = now
  }

  enum CodingKeys: String, CodingKey {
    case id, address, port, `protocol`, weight, tier, zone, health, healthSince, score, role, administrative, discovered, eligible,
      reason,
      activeConnections
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(member.id.rawValue, forKey: .id)
    switch member.address {
    case .ip(let address, let port):
      try values.encode(address.description, forKey: .address)
      try values.encode(port, forKey: .port)
    case .unix:
      try values.encode(member.address.description, forKey: .address)
      try values.encodeNil(forKey: .port)
    }
    try values.encode(member.proto.rawValue, forKey: .protocol)
    try values.encode(member.weight, forKey: .weight)
    try values.encode(member.tier, forKey: .tier)
    try values.encode(member.zone, forKey: .zone)
    try values.encode(member.health.rawValue, forKey: .health)
    try values.encode(member.healthSince.wallClock(now: now), forKey: .healthSince)
    try values.encode(member.score, forKey: .score)
    try values.encode((member.role ?? .unknown).rawValue, forKey: .role)
    try values.encode(member.administrative.rawValue, forKey: .administrative)
    try values.encode(member.discovered.text(now: now), forKey: .discovered)
    try values.encode(member.eligible, forKey: .eligible)
    try values.encode(member.reason, forKey: .reason)
    try values.encode(connections, forKey: .activeConnections)
  }
}

extension Member.Discovered {
  fileprivate func text(now: Instant) -> String {
    switch self {
    case .configured: "configured"
    case .named(let domains): "named by " + domains.sorted().map(\.rawValue).joined(separator: ", ")
    case .absent(let since): "absent since \(since.wallClock(now: now))"
    case .drained(let since): "drained since \(since.wallClock(now: now))"
    }
  }
}
