/// What a server says. Untrusted, as every peer is.
package enum BackendMessage: Hashable, Sendable {
  case authentication(AuthenticationRequest)
  case parameterStatus(name: String, value: String)
  /// The secret key is four bytes up to protocol 3.0, more later.
  case backendKeyData(processID: Int32, secretKey: [UInt8])
  case readyForQuery(TransactionStatus)
  case rowDescription(columns: [String])
  case dataRow([[UInt8]?])
  case commandComplete(tag: String)
  case emptyQueryResponse
  case errorResponse(ServerError)
  case noticeResponse(ServerError)
  case negotiateProtocolVersion(newestMinor: Int32, unknownOptions: [String])
  /// Any other type; its body was skipped.
  case other(type: UInt8)

  package enum TransactionStatus: UInt8, Hashable, Sendable {
    case idle = 0x49
    case inTransaction = 0x54
    case inFailedTransaction = 0x45
  }
}

package enum AuthenticationRequest: Hashable, Sendable {
  case ok
  case cleartextPassword
  case md5Password(salt: [UInt8])
  case sasl(mechanisms: [String])
  case saslContinue([UInt8])
  case saslFinal([UInt8])
  /// Kerberos, GSSAPI, SSPI and whatever comes.
  case unsupported(code: Int32)
}

extension BackendMessage {
  /// `body` is what follows the length.
  init(type: UInt8, body: ArraySlice<UInt8>) throws(WireError) {
    var reader = ByteReader(body)
    switch type {
    case UInt8(ascii: "R"): self = .authentication(try AuthenticationRequest(&reader))
    case UInt8(ascii: "S"): self = .parameterStatus(name: try reader.cString(), value: try reader.cString())
    case UInt8(ascii: "K"): self = .backendKeyData(processID: try reader.int32(), secretKey: reader.remaining())
    case UInt8(ascii: "Z"):
      guard let status = TransactionStatus(rawValue: try reader.byte()) else { throw .malformed("unknown transaction status") }
      self = .readyForQuery(status)
    case UInt8(ascii: "T"): self = .rowDescription(columns: try Self.columnNames(&reader))
    case UInt8(ascii: "D"): self = .dataRow(try Self.values(&reader))
    case UInt8(ascii: "C"): self = .commandComplete(tag: try reader.cString())
    case UInt8(ascii: "I"): self = .emptyQueryResponse
    case UInt8(ascii: "E"): self = .errorResponse(try ServerError(&reader))
    case UInt8(ascii: "N"): self = .noticeResponse(try ServerError(&reader))
    case UInt8(ascii: "v"): self = try Self.negotiation(&reader)
    default:
      self = .other(type: type)
      return
    }
    try reader.end()
  }

  // The counts below may lie: they only end the loops early, nothing is reserved for them.

  private static func columnNames(_ reader: inout ByteReader) throws(WireError) -> [String] {
    let count = try reader.int16()
    guard count >= 0 else { throw .malformed("negative column count") }
    var names: [String] = []
    for _ in 0..<count {
      names.append(try reader.cString())
      // Table, column number, type, type size, type modifier, format.
      _ = try reader.bytes(4 + 2 + 4 + 2 + 4 + 2)
    }
    return names
  }

  private static func values(_ reader: inout ByteReader) throws(WireError) -> [[UInt8]?] {
    let count = try reader.int16()
    guard count >= 0 else { throw .malformed("negative column count") }
    var values: [[UInt8]?] = []
    for _ in 0..<count {
      let length = try reader.int32()
      if length == -1 {
        values.append(nil)
      } else {
        values.append(Array(try reader.bytes(Int(length))))
      }
    }
    return values
  }

  private static func negotiation(_ reader: inout ByteReader) throws(WireError) -> BackendMessage {
    let newestMinor = try reader.int32()
    let count = try reader.int32()
    guard count >= 0 else { throw .malformed("negative option count") }
    var options: [String] = []
    for _ in 0..<count { options.append(try reader.cString()) }
    return .negotiateProtocolVersion(newestMinor: newestMinor, unknownOptions: options)
  }
}

extension AuthenticationRequest {
  fileprivate init(_ reader: inout ByteReader) throws(WireError) {
    let code = try reader.int32()
    switch code {
    case 0: self = .ok
    case 3: self = .cleartextPassword
    case 5: self = .md5Password(salt: Array(try reader.bytes(4)))
    case 10:
      var mechanisms: [String] = []
      while true {
        let mechanism = try reader.cString()
        if mechanism.isEmpty { break }
        mechanisms.append(mechanism)
      }
      self = .sasl(mechanisms: mechanisms)
    case 11: self = .saslContinue(reader.remaining())
    case 12: self = .saslFinal(reader.remaining())
    default:
      _ = reader.remaining()
      self = .unsupported(code: code)
    }
  }
}
