package import Model
import NIOCore
import NIOPosix

/// One HTTP/1.1 request and its response, on a connection of its own.
package enum HTTPExchange {
  package struct Field: Hashable, Sendable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package struct Request: Hashable, Sendable {
    package var method: String
    /// Path and query, percent-encoded where it must be.
    package var target: String
    /// `Host`, `Connection` and `Content-Length` are added where they are missing.
    package var headers: [Field]
    package var body: [UInt8]

    package init(method: String = "GET", target: String, headers: [Field] = [], body: [UInt8] = []) {
      self.method = method
      self.target = target
      self.headers = headers
      self.body = body
    }
  }

  package struct Response: Hashable, Sendable {
    package let status: Int
    package let headers: [Field]
    package let body: [UInt8]

    /// The first field of a name; names are compared without regard to case.
    package subscript(header name: String) -> String? {
      headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
  }

  /// How much of a body is wanted.
  enum BodyPolicy: Hashable, Sendable {
    /// The head is the answer.
    case ignored
    /// Up to so many bytes; what comes after does not matter.
    case prefix(Int)
    /// All of it; more bytes than this, or an end before its end, are an error.
    case whole(Int)
  }

  /// - Throws: `timedOut`, `protocolError` for a response that is none or larger than `maximumBody`, `closed` for one that
  ///   breaks off, `local` for a request that cannot be sent, and how the connection failed.
  package static func perform(
    _ request: Request, to address: Model.SocketAddress, timeout: Duration, maximumBody: Int = 8 * 1024 * 1024
  ) async throws(ProbeFailure) -> Response {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let deadline = (Instant.now + timeout).deadline
    let result: Result<Response, ProbeFailure> = await withCheckedContinuation { continuation in
      loop.execute {
        var timer: Scheduled<Void>?
        let handler = HTTPExchangeHandler.start(request, to: address, on: loop, body: .whole(maximumBody)) { result in
          timer?.cancel()
          continuation.resume(returning: result)
        }
        timer = loop.assumeIsolated().scheduleTask(deadline: deadline) {
          let phase = handler.phase
          guard handler.cancel() else { return }
          continuation.resume(returning: .failure(ProbeFailure(.timedOut, "no \(phase) within \(timeout.text)")))
        }
      }
    }
    return try result.get()
  }
}
