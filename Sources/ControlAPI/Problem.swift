import Failover
import Foundation
import HTTPTypes
import Hummingbird
import LebaConfiguration
import Logging

/// An error as the client sees it: `application/problem+json` (RFC 9457) with `type`, `title`, `status` and `detail`.
struct Problem: Error, HTTPResponseError {
  let status: HTTPResponse.Status
  let detail: String
  var headers: HTTPFields = [:]
  /// Each of several faults, where `detail` only counts them.
  var errors: [String]?

  private struct Body: Encodable {
    let type = "about:blank"
    let title: String
    let status: Int
    let detail: String
    let errors: [String]?
  }

  func response(from request: Request, context: some RequestContext) -> Response {
    var headers = headers
    let body = Body(title: status.reasonPhrase, status: status.code, detail: detail, errors: errors)
    // Plain strings and a number always encode; the fallback keeps the status even so.
    let data = (try? JSON.encoder.encode(body)) ?? Data(#"{"type":"about:blank"}"#.utf8)
    headers[.contentType] = "application/problem+json"
    headers[.contentLength] = String(data.count)
    return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
  }
}

extension Problem {
  /// The one table from the engine's errors to HTTP.
  init(_ error: ControlError) {
    switch error {
    case .invalid(let why): self.init(status: .unprocessableContent, detail: why)
    case .unknown(let why): self.init(status: .notFound, detail: why)
    case .conflict(let why): self.init(status: .conflict, detail: why)
    case .unavailable(let why): self.init(status: .serviceUnavailable, detail: why)
    case .refused(let diagnostics):
      self.init(
        status: .unprocessableContent,
        detail: "the configuration is not valid; the running one stays: " + (diagnostics.first ?? ""),
        errors: diagnostics)
    case .command(let error):
      switch error {
      case .unknownGroup, .notAMember, .unknownBackend, .unknownWindow, .noOverride:
        self.init(status: .notFound, detail: error.description)
      case .groupExists, .notEligible, .memberExists, .memberIsDescribed, .windowExists, .windowIsConfigured:
        self.init(status: .conflict, detail: error.description)
      }
    case .dnsEntry(let refusal):
      switch refusal {
      case .unknown: self.init(status: .notFound, detail: refusal.description)
      case .exists, .declared: self.init(status: .conflict, detail: refusal.description)
      case .invalid: self.init(status: .unprocessableContent, detail: refusal.description)
      }
    }
  }

  /// For what is JSON, and not what was wanted.
  init(_ error: DecodingError) {
    let detail =
      switch error {
      case .keyNotFound(let key, _): "'\(key.stringValue)' is missing"
      case .typeMismatch(let type, let context): "\(Problem.path(context)) is not \(Problem.name(of: type))"
      case .valueNotFound(let type, let context): "\(Problem.path(context)) is null, not \(Problem.name(of: type))"
      // A fraction, or a number that is too large, where a whole number is wanted.
      case .dataCorrupted(let context): "\(Problem.path(context)) has a value that cannot be used"
      @unknown default: "the body cannot be used"
      }
    self.init(status: .unprocessableContent, detail: detail)
  }

  /// What JSON calls it.
  private static func name(of type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a string"
    case is any BinaryInteger.Type: "a whole number"
    case is any Numeric.Type: "a number"
    case is Bool.Type: "true or false"
    case is [Any].Type: "a list"
    default: "an object"
    }
  }

  private static func path(_ context: DecodingError.Context) -> String {
    let names = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
    return names.isEmpty ? "the body" : "'\(names.joined(separator: "."))'"
  }
}

/// Turns whatever a handler throws into a problem, so that no error leaves in another shape.
struct ProblemMiddleware<Context: RequestContext>: RouterMiddleware {
  let logger: Logger

  func handle(_ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response) async throws
    -> Response
  {
    do {
      return try await next(request, context)
    } catch let problem as Problem {
      return problem.response(from: request, context: context)
    } catch let error as DecodingError {
      return Problem(error).response(from: request, context: context)
    } catch let error as ControlError {
      return Problem(error).response(from: request, context: context)
    } catch let error as any HTTPResponseError {
      let detail =
        switch error.status {
        case .notFound: "there is nothing at \(request.uri.path)"
        case .contentTooLarge: "the body is larger than \(ControlServer.bodyLimit) bytes"
        default: error.status.reasonPhrase
        }
      return Problem(status: error.status, detail: detail).response(from: request, context: context)
    } catch {
      logger.error("API request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
      return Problem(status: .internalServerError, detail: "the request could not be carried out; see the log")
        .response(from: request, context: context)
    }
  }
}
