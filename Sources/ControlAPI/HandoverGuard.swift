import HTTPTypes
import Hummingbird

/// Refuses changes while another process takes over: it has read already what this one remembers, and would not know of them.
struct HandoverGuard<Context: RequestContext>: RouterMiddleware {
  let plane: any ControlPlane

  func handle(_ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response) async throws
    -> Response
  {
    guard plane.isHandingOver, request.method != .get, request.method != .head else { return try await next(request, context) }
    throw Problem(status: .serviceUnavailable, detail: "another process is taking over; ask again in a second, it will answer then")
  }
}
