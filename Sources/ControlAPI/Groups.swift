import Failover
import HTTPTypes
import Hummingbird
import Model

/// `/api/v1/groups`: failover groups, their members and their primaries.
struct Groups {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/groups", [.get: list, .post: create])
    router.resource("/api/v1/groups/:name", [.get: show, .delete: delete])
    router.resource("/api/v1/groups/:name/explain", [.get: explain])
    router.resource("/api/v1/groups/:name/primary", [.post: setPrimary])
    router.resource("/api/v1/groups/:name/override", [.delete: liftOverride])
    router.resource("/api/v1/groups/:name/backends", [.post: addMember])
    router.resource("/api/v1/groups/:name/backends/:id", [.delete: removeMember])
  }

  private func name(_ context: Context) throws -> GroupName { GroupName(try context.segment("name")) }

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

  @Sendable private func explain(_ request: Request, _ context: Context) async throws -> Response {
    let name = try name(context)
    guard let (explanation, now) = await plane.explanation(of: name) else { throw ControlError.command(.unknownGroup(name)) }
    return try JSON.response(ExplanationView(explanation, now: now))
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

  @Sendable private func liftOverride(_ request: Request, _ context: Context) async throws -> Response {
    let group = try await plane.liftOverride(of: name(context), dryRun: request.isDryRun)
    return try await answer(group, now: plane.view().now)
  }

  @Sendable private func addMember(_ request: Request, _ context: Context) async throws -> Response {
    let name = try name(context)
    let body = try await JSON.decode(MemberRequest.self, keys: ["backend_id", "is_primary"], from: request)
    let dryRun = try request.isDryRun
    let group = try await plane.addMember(body, to: name, dryRun: dryRun)
    return try await answer(group, now: plane.view().now, status: dryRun ? .ok : .created)
  }

  @Sendable private func removeMember(_ request: Request, _ context: Context) async throws -> Response {
    let backend = BackendID(try context.segment("id"))
    try await plane.removeMember(backend, from: name(context), dryRun: request.isDryRun)
    return try JSON.response(["deleted": backend.rawValue])
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
