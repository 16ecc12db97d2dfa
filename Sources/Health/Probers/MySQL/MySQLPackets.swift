import Model

// What a probe must understand of the MySQL protocol, and write in it. Source: "MySQL Client/Server Protocol", dev.mysql.com.

/// The packets in a stream of bytes: three bytes of length, one of sequence, the payload.
struct MySQLPacketReader {
  struct Packet: Hashable, Sendable {
    let sequence: UInt8
    let payload: [UInt8]
  }

  /// Of a payload. What is read here is a greeting, an error or an acknowledgement: some hundred bytes.
  static let maximumPayload = 16 * 1024

  private var buffer: [UInt8] = []

  /// Nothing of another packet has arrived.
  var isEmpty: Bool { buffer.isEmpty }

  /// - Throws: for a length that no packet of this conversation has.
  mutating func append(_ bytes: some Sequence<UInt8>) throws(ProbeFailure) -> [Packet] {
    buffer += bytes
    var packets: [Packet] = []
    var rest = buffer[...]
    while rest.count >= 4 {
      let start = rest.startIndex
      let length = Int(rest[start]) | Int(rest[start + 1]) << 8 | Int(rest[start + 2]) << 16
      guard length <= Self.maximumPayload else {
        throw ProbeFailure(.protocolError, "not a MySQL server: a packet of \(length) bytes")
      }
      guard rest.count >= 4 + length else { break }
      packets.append(Packet(sequence: rest[start + 3], payload: Array(rest[(start + 4)..<(start + 4 + length)])))
      rest = rest[(start + 4 + length)...]
    }
    buffer = Array(rest)
    return packets
  }

  static func packet(_ payload: [UInt8], sequence: UInt8) -> [UInt8] {
    let length = payload.count
    return [
      UInt8(truncatingIfNeeded: length), UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length >> 16), sequence,
    ]
      + payload
  }
}

/// The server's first packet, protocol 10.
struct MySQLGreeting: Hashable, Sendable {
  let capabilities: UInt32
  /// 20 bytes: what passwords are scrambled with.
  let nonce: [UInt8]
  let plugin: String?

  init(_ payload: [UInt8]) throws(ProbeFailure) {
    var fields = MySQLFields(payload)
    guard let version = fields.byte(), version == 10 else {
      throw ProbeFailure(.protocolError, "not a MySQL greeting of protocol 10")
    }
    guard fields.text() != nil, fields.bytes(4) != nil, let first = fields.bytes(8), fields.byte() != nil,
      let low = fields.bytes(2),
      // Character set, status.
      fields.bytes(3) != nil, let high = fields.bytes(2), fields.bytes(11) != nil, let second = fields.bytes(12)
    else { throw ProbeFailure(.protocolError, "the MySQL greeting breaks off") }
    nonce = Array(first) + Array(second)
    capabilities =
      UInt32(low[low.startIndex]) | UInt32(low[low.startIndex + 1]) << 8
      | UInt32(high[high.startIndex]) << 16 | UInt32(high[high.startIndex + 1]) << 24
    _ = fields.byte()
    plugin = fields.text()
  }
}

/// An ERR packet.
struct MySQLError: Hashable, Sendable, CustomStringConvertible {
  let code: UInt16
  /// Absent before a session has begun.
  let state: String?
  let message: String

  init?(_ payload: [UInt8]) {
    var fields = MySQLFields(payload)
    guard fields.byte() == 0xff, let low = fields.byte(), let high = fields.byte() else { return nil }
    code = UInt16(low) | UInt16(high) << 8
    var rest = fields.rest
    if rest.first == UInt8(ascii: "#"), rest.count >= 6 {
      state = String(decoding: rest.dropFirst().prefix(5), as: UTF8.self)
      rest = rest.dropFirst(6)
    } else {
      state = nil
    }
    message = String(decoding: rest, as: UTF8.self)
  }

  var description: String { "error \(code)\(state.map { " (\($0))" } ?? ""): \(message)" }

  var failure: ProbeFailure { ProbeFailure(kind, printable(description)) }

  private var kind: ProbeFailure.Kind {
    switch code {
    // Access denied (also to the database, without a password), host not allowed, a way to authenticate we do not speak, password
    // expired, account locked (MySQL, MariaDB), only over TLS.
    case 1044, 1045, 1130, 1251, 1524, 1698, 1820, 1862, 3118, 3159, 3955, 4151: .authentication
    // The server's own announcement that it ends the session: shutdown, killed (MySQL, MariaDB).
    case 1053, 1927: .closed
    default: .badResponse  // 1040 too many connections, 1129 host blocked, 1203 too many of this user, …
    }
  }

  /// MySQL 8.0.24 and later say so when `wait_timeout` is over.
  var isIdleTimeout: Bool { code == 4031 }

  /// About the host and not about who we are: nobody here gets in.
  var refusesTheHost: Bool { code == 1129 || code == 1130 }
}

/// Reads the fields of a payload; nil where it ends too early.
struct MySQLFields {
  private(set) var rest: ArraySlice<UInt8>

  init(_ payload: [UInt8]) { rest = payload[...] }

  mutating func byte() -> UInt8? { rest.popFirst() }

  mutating func bytes(_ count: Int) -> ArraySlice<UInt8>? {
    guard rest.count >= count else { return nil }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// Up to a zero, or to the end where some servers leave the zero out.
  mutating func text() -> String? {
    guard !rest.isEmpty else { return nil }
    let text = rest.prefix { $0 != 0 }
    rest = rest.dropFirst(text.count + 1)
    return String(decoding: text, as: UTF8.self)
  }
}
