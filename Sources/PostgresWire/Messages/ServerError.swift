/// An error or notice in the server's own words.
package struct ServerError: Hashable, Sendable, CustomStringConvertible {
  /// `FATAL`, `ERROR`, …: the untranslated form where the server sends one (9.6 and later).
  package let severity: String
  package let state: SQLState
  package let message: String
  /// More about it, for people.
  package let detail: String?
  /// The function of the server that raised it: unlike the message, not in the language of whoever installed the server.
  package let routine: String?

  package init(severity: String, state: SQLState, message: String, detail: String? = nil, routine: String? = nil) {
    self.severity = severity
    self.state = state
    self.message = message
    self.detail = detail
    self.routine = routine
  }

  /// The session goes on after it; after `FATAL` and `PANIC` it does not.
  var leavesSession: Bool { severity == "ERROR" }

  init(_ reader: inout ByteReader) throws(WireError) {
    var localized: String?
    var severity: String?
    var code: String?
    var message: String?
    var detail: String?
    var routine: String?
    while true {
      let field = try reader.byte()
      if field == 0 { break }
      let value = try reader.cString()
      switch field {
      case UInt8(ascii: "S"): localized = value
      case UInt8(ascii: "V"): severity = value
      case UInt8(ascii: "C"): code = value
      case UInt8(ascii: "M"): message = value
      case UInt8(ascii: "D"): detail = value
      case UInt8(ascii: "R"): routine = value
      default: break  // hint, source file, …: the documentation says to ignore the unknown
      }
    }
    self.init(
      severity: severity ?? localized ?? "ERROR", state: SQLState(code ?? "XX000"), message: message ?? "", detail: detail,
      routine: routine)
  }

  package var description: String { "\(severity) \(state): \(message)" }
}

/// Five characters that say what happened (appendix A of the PostgreSQL documentation).
package struct SQLState: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  package let code: String

  package init(_ code: String) { self.code = code }
  package init(stringLiteral value: String) { self.init(value) }

  package var description: String { code }

  package static let databaseDoesNotExist: SQLState = "3D000"
  package static let insufficientPrivilege: SQLState = "42501"
  /// No such user where no password is asked for, or no line in `pg_hba.conf`.
  package static let invalidAuthorization: SQLState = "28000"
  package static let invalidPassword: SQLState = "28P01"
  package static let tooManyConnections: SQLState = "53300"
  package static let adminShutdown: SQLState = "57P01"
  package static let crashShutdown: SQLState = "57P02"
  /// Starting up, shutting down, or a standby that takes no sessions yet.
  package static let cannotConnectNow: SQLState = "57P03"
}
