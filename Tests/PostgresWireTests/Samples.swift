import PostgresWire

/// The server's side of the wire, for tests: messages as bytes, and a whole conversation of each kind.
enum Server {
  static func message(_ type: Character, _ body: [UInt8] = []) -> [UInt8] {
    [type.asciiValue ?? 0] + int32(Int32(body.count + 4)) + body
  }

  static func int32(_ value: Int32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32(24 - 8 * $0)) } }
  static func int16(_ value: Int16) -> [UInt8] { [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)] }
  static func string(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

  static func authentication(_ code: Int32, _ rest: [UInt8] = []) -> [UInt8] { message("R", int32(code) + rest) }
  static let authenticationOk = authentication(0)
  static let scramOffered = authentication(10, string("SCRAM-SHA-256-PLUS") + string("SCRAM-SHA-256") + [0])
  static func parameter(_ name: String, _ value: String) -> [UInt8] { message("S", string(name) + string(value)) }
  static let keyData = message("K", int32(4711) + [1, 2, 3, 4])
  static let ready = message("Z", Array("I".utf8))
  static func row(_ values: String?...) -> [UInt8] { row(values) }
  static func row(_ values: [String?]) -> [UInt8] {
    let fields = values.flatMap { value in value.map { int32(Int32($0.utf8.count)) + Array($0.utf8) } ?? int32(-1) }
    return message("D", int16(Int16(values.count)) + fields)
  }
  static let description = message(
    "T", int16(1) + string("pg_is_in_recovery") + int32(0) + int16(0) + int32(16) + int16(1) + int32(-1) + int16(0))
  static let complete = message("C", string("SELECT 1"))
  static func answer(_ values: String?...) -> [UInt8] { description + row(values) + complete + ready }

  static func error(_ severity: String, _ state: String, _ text: String) -> [UInt8] {
    message("E", fields(severity, state, text))
  }
  static func notice(_ text: String) -> [UInt8] { message("N", fields("WARNING", "01000", text)) }
  private static func fields(_ severity: String, _ state: String, _ text: String) -> [UInt8] {
    string("S" + severity) + string("V" + severity) + string("C" + state) + string("M" + text) + string("Fpostmaster.c") + [0]
  }

  /// Every kind of message once or more, as one stream, with what it decodes to.
  static let everything: (bytes: [UInt8], messages: [BackendMessage]) = {
    let parts: [([UInt8], BackendMessage)] = [
      (scramOffered, .authentication(.sasl(mechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]))),
      (authentication(11, Array("r=x".utf8)), .authentication(.saslContinue(Array("r=x".utf8)))),
      (authentication(12, Array("v=y".utf8)), .authentication(.saslFinal(Array("v=y".utf8)))),
      (authentication(3), .authentication(.cleartextPassword)),
      (authentication(5, [9, 8, 7, 6]), .authentication(.md5Password(salt: [9, 8, 7, 6]))),
      (authentication(7, [1, 2]), .authentication(.unsupported(code: 7))),
      (authenticationOk, .authentication(.ok)),
      (parameter("server_version", "15.8"), .parameterStatus(name: "server_version", value: "15.8")),
      (keyData, .backendKeyData(processID: 4711, secretKey: [1, 2, 3, 4])),
      (message("v", int32(0) + int32(1) + string("_pq_.x")), .negotiateProtocolVersion(newestMinor: 0, unknownOptions: ["_pq_.x"])),
      (ready, .readyForQuery(.idle)),
      (message("Z", Array("T".utf8)), .readyForQuery(.inTransaction)),
      (message("Z", Array("E".utf8)), .readyForQuery(.inFailedTransaction)),
      (description, .rowDescription(columns: ["pg_is_in_recovery"])),
      (row("t"), .dataRow([Array("t".utf8)])),
      (row(nil), .dataRow([nil])),
      (message("D", int16(0)), .dataRow([])),
      (complete, .commandComplete(tag: "SELECT 1")),
      (message("I"), .emptyQueryResponse),
      (
        error("FATAL", "57P03", "the database system is starting up"),
        .errorResponse(ServerError(severity: "FATAL", state: .cannotConnectNow, message: "the database system is starting up"))
      ),
      (notice("hm"), .noticeResponse(ServerError(severity: "WARNING", state: "01000", message: "hm"))),
      (message("A", int32(1) + string("channel") + string("")), .other(type: 0x41)),
    ]
    return (parts.flatMap(\.0), parts.map(\.1))
  }()
}

func hex(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
