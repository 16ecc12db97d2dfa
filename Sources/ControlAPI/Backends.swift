import Failover
import HTTPTypes
import Hummingbird
import LebaConfiguration
import Model

/// `/api/v1/backends`: each backend once, whatever groups it is in.
struct Backends {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/backends", [.get: list, .post: add])
    router.resource("/api/v1/backends/:id", [.delete: remove])
    router.resource("/api/v1/backends/:id/health", [.get: health])
    router.resource("/api/v1/backends/:id/drain", [.post: drain])
    router.resource("/api/v1/backends/:id/undrain", [.post: undrain])
    router.resource("/api/v1/stats/backends", [.get: statistics])
  }

  private func id(_ context: Context) throws -> BackendID { BackendID(try context.segment("id")) }

  private struct BackendList: Encodable {
    let backends: [BackendView]
    let count: Int
  }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let standings = Dictionary(grouping: await standings(), by: \.member.id)
    var backends: [BackendID: DeclaredBackend] = [:]
    for (id, standings) in standings { backends[id] = standings.first.map { DeclaredBackend($0.member) } }
    for declared in await plane.backends() { backends[declared.id] = declared }
    let views = backends.sorted { $0.key < $1.key }.map { BackendView(backend: $1, standings: standings[$0] ?? []) }
    return try JSON.response(BackendList(backends: views, count: views.count))
  }

  @Sendable private func add(_ request: Request, _ context: Context) async throws -> Response {
    let keys = Set(BackendRequest.CodingKeys.allCases.map(\.rawValue))
    let body = try await JSON.decode(BackendRequest.self, keys: keys, from: request)
    let dryRun = try request.isDryRun
    let backend = try await plane.addBackend(body, dryRun: dryRun)
    return try JSON.response(BackendView(backend: backend, standings: []), status: dryRun ? .ok : .created)
  }

  @Sendable private func remove(_ request: Request, _ context: Context) async throws -> Response {
    let id = try id(context)
    try await plane.removeBackend(id, dryRun: request.isDryRun)
    return try JSON.response(["deleted": id.rawValue])
  }

  @Sendable private func health(_ request: Request, _ context: Context) async throws -> Response {
    let id = try id(context)
    let standings = await standings().filter { $0.member.id == id }
    if standings.isEmpty, await !plane.backends().contains(where: { $0.id == id }) {
      throw ControlError.command(.unknownBackend(id))
    }
    return try answer(id, standings)
  }

  @Sendable private func drain(_ request: Request, _ context: Context) async throws -> Response {
    let id = try id(context)
    _ = try await JSON.decodeIfPresent(NoFields.self, keys: [], from: request)
    let groups = try await plane.drain(id, dryRun: request.isDryRun)
    return try answer(id, await standings(in: groups).filter { $0.member.id == id })
  }

  @Sendable private func undrain(_ request: Request, _ context: Context) async throws -> Response {
    let id = try id(context)
    _ = try await JSON.decodeIfPresent(NoFields.self, keys: [], from: request)
    let groups = try await plane.undrain(id, dryRun: request.isDryRun)
    return try answer(id, await standings(in: groups).filter { $0.member.id == id })
  }

  private struct NoFields: Decodable {}

  private struct BackendHealth: Encodable {
    let id: String
    let groups: [BackendStanding]
  }

  private func answer(_ id: BackendID, _ standings: [BackendStanding]) throws -> Response {
    try JSON.response(BackendHealth(id: id.rawValue, groups: standings))
  }

  /// What each backend is in each of its groups, by group: in all, or in these, which may be what a dry run made of them.
  private func standings(in groups: [GroupSnapshot]? = nil) async -> [BackendStanding] {
    let view = await plane.view()
    let statistics = await plane.memberStatistics()
    return (groups ?? view.groups).sorted { $0.name < $1.name }.flatMap { group in
      group.members.map { member in
        BackendStanding(
          group: group.name, isPrimary: member.id == group.primary, member: member,
          lastFailure: statistics[MemberKey(group: group.name, backend: member.id)]?.lastFailure, now: view.now)
      }
    }
  }

  private struct StatisticsList: Encodable {
    let backends: [BackendStatisticsView]
    let count: Int
  }

  @Sendable private func statistics(_ request: Request, _ context: Context) async throws -> Response {
    let (view, statistics, connections) = (await plane.view(), await plane.memberStatistics(), await plane.activeConnections())
    var backends: [BackendID: BackendStatisticsView] = [:]
    for group in view.groups {
      for member in group.members {
        let key = MemberKey(group: group.name, backend: member.id)
        backends[member.id, default: BackendStatisticsView(member.id)]
          .add(group.name, connections: connections[key] ?? 0, statistics[key])
      }
    }
    let views = backends.sorted { $0.key < $1.key }.map(\.value)
    return try JSON.response(StatisticsList(backends: views, count: views.count))
  }
}
