/// A conversation in which every byte belongs on one connection, in one direction, at one place: one that is lost, repeated, swapped or
/// somebody else's shows. The server answers each piece with as many bytes of its own direction.
package enum KeyedExchange {
  private enum Direction: UInt64 { case toServer = 1, toClient = 2 }

  package static func server(host: String = "127.0.0.1") throws -> TCPServer {
    try TCPServer(host: host) { connection in
      // A check that connects and says nothing ends here.
      let key = UInt64(try connection.receive(exactly: 8))
      var position = 0
      while true {
        let bytes = try connection.receive()
        if bytes.isEmpty { break }
        try check(bytes, key, .toServer, at: position)
        try connection.send(bytes: stretch(key, .toClient, position..<position + bytes.count))
        position += bytes.count
      }
      connection.finishSending()
    }
  }

  /// Blocks, and throws what went wrong. `key` is nobody else's. Two pieces are under way at a time, so that both directions move.
  package static func run(
    _ key: UInt64, pieces: Int = 8, of size: Int = 30_000, through listener: Endpoint, limit: Duration = patience
  ) throws {
    let connection = try TCPConnection(to: listener, limit: limit)
    try connection.send(bytes: withUnsafeBytes(of: key.littleEndian, Array.init))
    for piece in 0...pieces {
      let start = piece * size
      if piece < pieces { try connection.send(bytes: stretch(key, .toServer, start..<start + size)) }
      if piece > 0 { try check(connection.receive(exactly: size), key, .toClient, at: start - size) }
    }
    connection.finishSending()
    guard try connection.receiveToEnd().isEmpty else { throw TestFailure("more came back than was sent, key \(key)") }
  }

  private static func check(_ bytes: [UInt8], _ key: UInt64, _ direction: Direction, at position: Int) throws {
    guard bytes == stretch(key, direction, position..<position + bytes.count) else {
      throw TestFailure("wrong bytes \(direction), key \(key), within \(bytes.count) from \(position)")
    }
  }

  private static func stretch(_ key: UInt64, _ direction: Direction, _ range: Range<Int>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    var word: UInt64 = 0
    for position in range {
      if position == range.lowerBound || position % 8 == 0 {
        word = mixed(key &* 0x9E37_79B9_7F4A_7C15 &+ direction.rawValue << 62 &+ UInt64(position / 8))
      }
      bytes[position - range.lowerBound] = UInt8(truncatingIfNeeded: word >> UInt64(position % 8 * 8))
    }
    return bytes
  }

  /// Neighbouring numbers become numbers that have nothing in common.
  private static func mixed(_ number: UInt64) -> UInt64 {
    var number = (number ^ number >> 30) &* 0xBF58_476D_1CE4_E5B9
    number = (number ^ number >> 27) &* 0x94D0_49BB_1331_11EB
    return number ^ number >> 31
  }
}

extension UInt64 {
  /// Of eight bytes, the lowest first.
  fileprivate init(_ bytes: [UInt8]) { self = bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
}
