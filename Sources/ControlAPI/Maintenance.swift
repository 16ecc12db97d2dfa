import Failover
import Hummingbird
import LebaConfiguration
import Model

/// `/api/v1/maintenance`: when backends are to be left alone.
struct Maintenance {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/maintenance", [.get: list, .post: add])
    router.resource("/api/v1/maintenance/:id", [.delete: cancel])
  }

  private struct WindowList: Encodable {
    let windows: [WindowView]
    let count: Int
  }

  @Sendable private func list(_ request: Request, _ context: Context) async throws -> Response {
    let windows = await plane.windows().map(WindowView.init)
    return try JSON.response(WindowList(windows: windows, count: windows.count))
  }

  @Sendable private func add(_ request: Request, _ context: Context) async throws -> Response {
    let keys = Set(MaintenanceRequest.CodingKeys.allCases.map(\.rawValue))
    let body = try await JSON.decode(MaintenanceRequest.self, keys: keys, from: request)
    let dryRun = try request.isDryRun
    let window = try await plane.schedule(body, dryRun: dryRun)
    return try JSON.response(WindowView(window), status: dryRun ? .ok : .created)
  }

  @Sendable private func cancel(_ request: Request, _ context: Context) async throws -> Response {
    let id = try context.segment("id")
    try await plane.cancelWindow(id, dryRun: request.isDryRun)
    return try JSON.response(["deleted": id])
  }
}

/// An item of `GET /maintenance`: the keys of the file, and where the window stands.
struct WindowView: Encodable {
  let snapshot: WindowSnapshot

  init(_ snapshot: WindowSnapshot) { self.snapshot = snapshot }

  enum CodingKeys: String, CodingKey {
    case id, backend, start, duration, `repeat`, preDrain, origin, state, nextStart, nextEnd, reason
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    let window = snapshot.window
    try values.encode(window.id, forKey: .id)
    try values.encode(window.backend.rawValue, forKey: .backend)
    try values.encode(window.start.text, forKey: .start)
    try values.encode(window.duration.text, forKey: .duration)
    try values.encode(window.repetition?.rawValue, forKey: .repeat)
    try values.encode(window.preDrain.text, forKey: .preDrain)
    try values.encode(window.isConfigured ? "file" : "api", forKey: .origin)
    try values.encode(snapshot.state.rawValue, forKey: .state)
    try values.encode(snapshot.nextStart?.text, forKey: .nextStart)
    try values.encode(snapshot.nextStart.map { ($0 + window.duration).text }, forKey: .nextEnd)
    try values.encode(snapshot.reason, forKey: .reason)
  }
}
