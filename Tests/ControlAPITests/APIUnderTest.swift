import ControlAPI
import Failover
import Foundation
import Glibc
import Health
import Logging
import Model

/// Runs the API over a real engine, on a socket of its own, while `body` asks it. It has one group, `app-servers`, of `backend1` and `backend2`, both up.
func withControlAPI(
  pace: StreamPace = StreamPace(), _ body: (APIClient, EnginePlane, ControlServer) async throws -> Void
) async throws {
  let path = "/tmp/leba-api-\(UUID().uuidString.prefix(8)).sock"
  defer { try? FileManager.default.removeItem(atPath: path) }
  let plane = EnginePlane([
    GroupSpecification(
      name: "app-servers", mode: .activePassive,
      members: ["backend1", "backend2"].enumerated().map { position, id in
        MemberSource(
          origin: .fixed(BackendID(id), .ip(.v4(0x7F00_0001), port: UInt16(7001 + position))), proto: .http,
          isPrimary: position == 0, check: HealthCheck(kind: .tcp))
      })
  ])
  plane.probe("app-servers", "backend1", .passed(latency: .milliseconds(1), role: nil))
  plane.probe("app-servers", "backend2", .passed(latency: .milliseconds(1), role: nil))
  let (listening, continuation) = AsyncStream.makeStream(of: Void.self)
  let server = ControlServer(
    address: .unix(path: path), plane: plane, logger: Logger(label: "test"), pace: pace
  ) { continuation.finish() }
  let task = Task { try await server.run() }
  for await _ in listening {}
  let result: Result<Void, any Error>
  do {
    try await body(APIClient(path: path), plane, server)
    result = .success(())
  } catch {
    result = .failure(error)
  }
  await server.stop()
  try await task.value
  try result.get()
}

struct APIClient {
  let path: String

  struct Answer {
    let status: Int
    let type: String?
    let body: [String: Any]
    let text: String
    subscript(key: String) -> String { body[key] as? String ?? "" }
    func list(_ key: String) -> [[String: Any]] { body[key] as? [[String: Any]] ?? [] }
  }

  func call(
    _ method: String, _ target: String, _ json: String? = nil, headers: [(String, String)] = [("Host", "localhost")],
    type: String? = "application/json"
  ) async throws -> Answer {
    var fields = headers.map { HTTPExchange.Field($0.0, $0.1) }
    if json != nil, let type { fields.append(HTTPExchange.Field("Content-Type", type)) }
    let request = HTTPExchange.Request(method: method, target: target, headers: fields, body: Array((json ?? "").utf8))
    let response = try await HTTPExchange.perform(request, to: .unix(path: path), timeout: .seconds(20))
    let object = try? JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
    return Answer(
      status: response.status, type: response[header: "content-type"], body: object ?? [:],
      text: String(decoding: response.body, as: UTF8.self))
  }

  func listen(_ target: String = "/api/v1/events/stream", lastEventID: String? = nil) throws -> StreamReader {
    try StreamReader(path: path, target: target, lastEventID: lastEventID)
  }
}

/// Reads an answer that does not end, as bytes come. Closes with the last reference.
final class StreamReader: Sendable {
  struct Failure: Error {
    let what: String
  }

  private let descriptor: Int32

  init(path: String, target: String, lastEventID: String?) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var patience = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard connected == 0 else { throw Failure(what: "cannot connect") }
    let id = lastEventID.map { "Last-Event-ID: \($0)\r\n" } ?? ""
    let request = Array("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\(id)\r\n".utf8)
    guard write(descriptor, request, request.count) == request.count else { throw Failure(what: "cannot write") }
  }

  deinit { close(descriptor) }

  /// The other end has closed, whatever is still to be read.
  var isCutOff: Bool {
    var state = pollfd(fd: descriptor, events: 0, revents: 0)
    return poll(&state, 1, 0) == 1 && Int32(state.revents) & POLLHUP != 0
  }

  /// Everything up to and with `text`; where it is nil, up to the end.
  func read(upTo text: String?) async throws -> String {
    try await withCheckedThrowingContinuation { continuation in
      // A thread of its own: reading blocks.
      Thread.detachNewThread { [self] in continuation.resume(with: Result { try readBlocking(upTo: text) }) }
    }
  }

  private func readBlocking(upTo text: String?) throws -> String {
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    let deadline = ContinuousClock.now + .seconds(20)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      // Heartbeats are no progress.
      if count < 0 || ContinuousClock.now > deadline {
        throw Failure(what: "nothing more after: \(String(decoding: received, as: UTF8.self))")
      }
      if count == 0 {
        guard text == nil else { throw Failure(what: "ended after: \(String(decoding: received, as: UTF8.self))") }
        return String(decoding: received, as: UTF8.self)
      }
      received += buffer.prefix(count)
      let string = String(decoding: received, as: UTF8.self)
      if let text, string.contains(text) { return string }
    }
  }
}
