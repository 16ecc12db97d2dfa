import Foundation

/// A plain-text PostgreSQL session for a user who needs no password: sends queries, tells errors by their SQLSTATE.
///
/// Written apart from the product's codec, so that a mistake there cannot hide itself here. Blocks.
package final class PostgresSession: Sendable {
  package enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
    case server(sqlState: String, message: String)
    case connection(SocketFailure)

    package var description: String {
      switch self {
      case .server(let sqlState, let message): "\(sqlState): \(message)"
      case .connection(let failure): "connection: \(failure)"
      }
    }

    package var sqlState: String? { if case .server(let sqlState, _) = self { sqlState } else { nil } }

    /// The connection had been made, and its peer ended it.
    package var isBroken: Bool { self == .connection(.reset) || self == .connection(.ended) }

    /// 25006: the statement would write, and the server is a standby or the session read-only.
    package var isReadOnly: Bool { sqlState == "25006" }
  }

  private let connection: TCPConnection

  package init(to endpoint: Endpoint, user: String = "app", database: String = "postgres") throws(Failure) {
    do {
      connection = try TCPConnection(to: endpoint)
      let parameters = ["user", user, "database", database, "application_name", "leba-test"]
      var body = Self.bigEndian(196_608)
      for text in parameters { body += Array(text.utf8) + [0] }
      body.append(0)
      try connection.send(bytes: Self.bigEndian(Int32(body.count + 4)) + body)
    } catch {
      throw .connection(error as? SocketFailure ?? .other("\(error)"))
    }
    _ = try readUntilReady()
  }

  /// The first column of each row.
  @discardableResult
  package func query(_ sql: String) throws(Failure) -> [String] {
    let body = Array(sql.utf8) + [0]
    do { try connection.send(bytes: [UInt8(ascii: "Q")] + Self.bigEndian(Int32(body.count + 4)) + body) } catch {
      throw .connection(error as? SocketFailure ?? .other("\(error)"))
    }
    return try readUntilReady()
  }

  package func close() { connection.close() }

  private func readUntilReady() throws(Failure) -> [String] {
    var rows: [String] = []
    var problem: Failure?
    while true {
      let (type, body) = try readMessage()
      switch type {
      case UInt8(ascii: "Z"):
        if let problem { throw problem }
        return rows
      case UInt8(ascii: "E"):
        let failure = Self.failure(body)
        // FATAL is followed by the end of the connection, not by ReadyForQuery.
        if Self.field("V", of: body) == "FATAL" { throw failure }
        problem = failure
      case UInt8(ascii: "D"):
        let length = Int(body.dropFirst(2).prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
        rows.append(length < 0x7fff_ffff ? String(decoding: body.dropFirst(6).prefix(length), as: UTF8.self) : "")
      default: continue
      }
    }
  }

  private func readMessage() throws(Failure) -> (UInt8, [UInt8]) {
    do {
      let head = try connection.receive(exactly: 5)
      let length = head.dropFirst().reduce(0) { $0 << 8 | Int($1) }
      return (head[0], length > 4 ? try connection.receive(exactly: length - 4) : [])
    } catch {
      throw .connection(error as? SocketFailure ?? .other("\(error)"))
    }
  }

  private static func field(_ letter: Character, of body: [UInt8]) -> String? {
    let fields = body.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    return fields.first { $0.first == letter }.map { String($0.dropFirst()) }
  }

  private static func failure(_ body: [UInt8]) -> Failure {
    .server(sqlState: field("C", of: body) ?? "", message: field("M", of: body) ?? "")
  }

  private static func bigEndian(_ value: Int32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
}
