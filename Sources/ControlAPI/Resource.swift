import HTTPTypes
import Hummingbird

typealias Handler = @Sendable (Request, Context) async throws -> Response

extension Router<Context> {
  /// All methods of one path. The others answer 405 and name the allowed ones, as a client expects and a bare router would not.
  func resource(_ path: String, _ handlers: [HTTPRequest.Method: Handler]) {
    var handlers = handlers
    if let get = handlers[.get] { handlers[.head] = get }
    let allowed = handlers.keys.map(\.rawValue).sorted().joined(separator: ", ")
    for method in [HTTPRequest.Method.get, .head, .post, .put, .patch, .delete, .options] {
      on(
        RouterPath(path), method: method,
        use: handlers[method] ?? { _, _ in
          throw Problem(status: .methodNotAllowed, detail: "use \(allowed)", headers: [.allow: allowed])
        })
    }
  }
}

extension Request {
  /// `?dry_run=true`: check and answer, change nothing.
  var isDryRun: Bool {
    get throws {
      // Whoever mistypes it wants nothing changed.
      try allow(parameters: ["dry_run"])
      switch uri.queryParameters["dry_run"] {
      case nil, "false": return false
      case "true": return true
      case .some(let other): throw Problem(status: .badRequest, detail: "dry_run is true or false, not '\(other.prefix(40))'")
      }
    }
  }

  /// Another parameter is a typing error.
  func allow(parameters: Set<String>) throws {
    for (name, _) in uri.queryParameters where !parameters.contains(String(name)) {
      throw Problem(
        status: .badRequest,
        detail: "'\(name.prefix(40))' is not a known parameter; known are \(parameters.sorted().joined(separator: ", "))")
    }
  }
}
