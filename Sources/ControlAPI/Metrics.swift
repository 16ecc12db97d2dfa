import Hummingbird

/// `/metrics` in Prometheus text format.
struct Metrics {
  let plane: any ControlPlane

  func register(on router: Router<Context>) {
    router.resource("/metrics", [.get: metrics])
  }

  @Sendable private func metrics(_ request: Request, _ context: Context) async throws -> Response {
    var text = ""
    for family in await plane.view().metrics + plane.metrics() { family.write(to: &text) }
    return Response(
      status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }
}
