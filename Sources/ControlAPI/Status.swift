import HTTPTypes
import Hummingbird

/// `/api/v1/status` for people, `/health/live` and `/health/ready` for orchestrators.
struct Status {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/api/v1/status", [.get: status])
    router.resource("/health/live", [.get: live])
    router.resource("/health/ready", [.get: ready])
  }

  @Sendable private func status(_ request: Request, _ context: Context) async throws -> Response {
    try JSON.response(await plane.status())
  }

  /// Answers as long as the control loop does: a wedged loop should be restarted, and does not get this far.
  @Sendable private func live(_ request: Request, _ context: Context) async throws -> Response {
    _ = await plane.view()
    return try JSON.response(["status": "live"])
  }

  @Sendable private func ready(_ request: Request, _ context: Context) async throws -> Response {
    let state = await plane.status().state
    guard state == .ready else { throw Problem(status: .serviceUnavailable, detail: state.rawValue) }
    return try JSON.response(["status": state.rawValue])
  }
}
