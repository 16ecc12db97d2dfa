/// Reads the fields of one message body. Every read checks the bounds: a length that lies ends in an error, not in a trap.
struct ByteReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func byte() throws(WireError) -> UInt8 {
    guard let first = rest.popFirst() else { throw .malformed("truncated message") }
    return first
  }

  mutating func int16() throws(WireError) -> Int16 {
    let bytes = try self.bytes(2)
    return bytes.reduce(into: Int16(0)) { $0 = $0 << 8 | Int16($1) }
  }

  mutating func int32() throws(WireError) -> Int32 {
    let bytes = try self.bytes(4)
    return bytes.reduce(into: Int32(0)) { $0 = $0 << 8 | Int32($1) }
  }

  mutating func bytes(_ count: Int) throws(WireError) -> ArraySlice<UInt8> {
    guard count >= 0, count <= rest.count else { throw .malformed("truncated message") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// A string up to its zero byte. Invalid UTF-8 is repaired: a server may speak before any encoding was agreed upon.
  mutating func cString() throws(WireError) -> String {
    guard let end = rest.firstIndex(of: 0) else { throw .malformed("unterminated string") }
    defer { rest = rest[(end + 1)...] }
    return String(decoding: rest[..<end], as: UTF8.self)
  }

  mutating func remaining() -> [UInt8] {
    defer { rest = [] }
    return Array(rest)
  }

  /// The body must have been used up: bytes left over mean that the two ends disagree on what was said.
  func end() throws(WireError) {
    guard rest.isEmpty else { throw .malformed("\(rest.count) bytes too many in a message") }
  }
}

/// Why the bytes of a server are not a Postgres conversation. There is no way to find the next message: the connection is lost.
package enum WireError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The declared length is below the four bytes of the length itself.
  case lengthTooShort(Int32)
  /// The declared length is above the reader's bound. Known before anything of the body is kept.
  case lengthTooLong(Int, bound: Int)
  case malformed(String)
  /// Text without a length: what a postmaster says that cannot fork, in the style of protocol version 2 to this day.
  case bareText(String)

  package var description: String {
    switch self {
    case .lengthTooShort(let length): "message length \(length) is impossible"
    case .lengthTooLong(let length, let bound): "message of \(length) bytes, more than the \(bound) allowed"
    case .malformed(let what): what
    case .bareText(let text): text
    }
  }
}
