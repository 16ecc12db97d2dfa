import HTTPTypes
import Hummingbird
import Model

/// What a browser on this host must not be able to do on behalf of a foreign page, with or without authentication.
///
/// A page can make the browser send requests to localhost: DNS rebinding shows in `Host`, cross-site calls in `Origin` and
/// `Sec-Fetch-Site`, and a form cannot send `application/json` without asking first.
struct RequestGuard<Context: RequestContext>: RouterMiddleware {
  let address: SocketAddress

  func handle(_ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response) async throws
    -> Response
  {
    guard let authority = request.head.authority, isOurs(authority) else {
      throw Problem(status: .forbidden, detail: "the Host of the request is not this API; call it by its address or as localhost")
    }
    if let site = request.headers[.secFetchSite], site != "same-origin", site != "none" {
      throw Problem(status: .forbidden, detail: "cross-site requests are refused")
    }
    if let origin = request.headers[.origin], origin != "http://\(authority)", origin != "https://\(authority)" {
      throw Problem(status: .forbidden, detail: "the Origin '\(origin.prefix(200))' may not call this API")
    }
    if request.method == .post, !isJSON(request.headers[.contentType]) {
      throw Problem(status: .unsupportedMediaType, detail: "send the body as Content-Type: application/json")
    }
    return try await next(request, context)
  }

  /// Any port is accepted: a forwarded port is still us, and a rebound name is caught by the name.
  private func isOurs(_ authority: String) -> Bool {
    var host = authority.lowercased()
    if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
      guard UInt16(host[host.index(after: colon)...]) != nil else { return false }
      host = String(host[..<colon])
    }
    if ["localhost", "127.0.0.1", "[::1]"].contains(host) { return true }
    guard case .ip(let own, _) = address else { return false }
    return IPAddress(host.trimmingBrackets) == own
  }

  private func isJSON(_ contentType: String?) -> Bool {
    guard let type = contentType?.split(separator: ";").first else { return false }
    return type.lowercased().filter { $0 != " " } == "application/json"
  }
}

extension String {
  fileprivate var trimmingBrackets: String { hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : self }
}

extension HTTPField.Name {
  fileprivate static var secFetchSite: HTTPField.Name { HTTPField.Name("Sec-Fetch-Site")! }
}
