import Foundation

/// Just enough HTTP/1.1 for a test to send what it likes, malformed or not, and to read the answer.
package enum HTTP {
  package struct Response: Sendable {
    package let status: Int
    package let headers: [String: String]
    package let body: String

    package var json: JSON { get throws { try JSON(text: body) } }
  }

  package static func get(_ path: String, from endpoint: Endpoint, limit: Duration = patience) async throws -> Response {
    try await send("GET", path, to: endpoint, limit: limit)
  }

  /// - Parameter headers: added to `Host` and `Content-Length`, or replacing them.
  package static func send(
    _ method: String, _ path: String, body: String? = nil, headers: [String: String] = [:], to endpoint: Endpoint,
    limit: Duration = patience
  ) async throws -> Response {
    try await onOwnThread {
      let connection = try TCPConnection(to: endpoint, limit: limit)
      return try exchange(
        method, path, body: body, headers: ["Connection": "close"].merging(headers) { $1 }, on: connection, endpoint)
    }
  }

  /// One request and its answer on an open connection. Blocks.
  package static func exchange(
    _ method: String, _ path: String, body: String? = nil, headers: [String: String] = [:], on connection: TCPConnection,
    _ endpoint: Endpoint
  ) throws -> Response {
    var fields = ["Host": endpoint.port == 0 ? "localhost" : endpoint.description]
    if let body { fields["Content-Length"] = "\(body.utf8.count)" }
    fields.merge(headers) { $1 }
    let head = fields.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\r\n" }.joined()
    try connection.send("\(method) \(path) HTTP/1.1\r\n\(head)\r\n\(body ?? "")")
    return try readResponse(on: connection)
  }

  private static func readResponse(on connection: TCPConnection) throws -> Response {
    var received: [UInt8] = []
    let end = Array("\r\n\r\n".utf8)
    var split: Range<Int>?
    while split == nil {
      let part = try connection.receive()
      if part.isEmpty { throw SocketFailure.ended }
      received += part
      split = received.firstRange(of: end)
    }
    guard let split else { throw SocketFailure.ended }
    let lines = String(decoding: received[..<split.lowerBound], as: UTF8.self).split(separator: "\r\n")
    guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
      throw SocketFailure.other("not HTTP: \(lines.first ?? "")")
    }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    var body = Array(received[split.upperBound...])
    if let length = headers["content-length"].flatMap({ Int($0) }) {
      if body.count < length { body += try connection.receive(exactly: length - body.count) }
    } else if headers["transfer-encoding"]?.lowercased() == "chunked" {
      body = try decodeChunks(body, from: connection)
    } else if status != 204 {
      body += try connection.receiveToEnd()
    }
    return Response(status: status, headers: headers, body: String(decoding: body, as: UTF8.self))
  }

  private static func decodeChunks(_ start: [UInt8], from connection: TCPConnection) throws -> [UInt8] {
    var pending = start[...]
    var body: [UInt8] = []
    func more() throws {
      let part = try connection.receive()
      if part.isEmpty { throw SocketFailure.ended }
      pending += part
    }
    while true {
      while pending.firstRange(of: [13, 10]) == nil { try more() }
      guard let line = pending.firstRange(of: [13, 10]),
        let size = Int(String(decoding: pending[..<line.lowerBound], as: UTF8.self).prefix { $0 != ";" }, radix: 16)
      else { throw SocketFailure.other("bad chunk") }
      while pending.endIndex < line.upperBound + size + 2 { try more() }
      body += pending[line.upperBound..<(line.upperBound + size)]
      if size == 0 { return body }
      pending = pending[(line.upperBound + size + 2)...]
    }
  }
}
