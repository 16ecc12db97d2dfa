/// Cuts a server's bytes into messages, however the network sliced them.
///
/// Append what one read brought, then take messages until there are none. So the buffer never holds more than one unfinished
/// message and one read: the declared length is checked as soon as its four bytes are there, before any of the body is waited for.
package struct MessageDecoder: Sendable {
  private let maximumLength: Int
  private var buffer: [UInt8] = []
  private var offset = 0
  private var failure: WireError?

  /// `maximumLength` bounds the declared length of every message: the body and the four bytes of the length.
  package init(maximumLength: Int) { self.maximumLength = maximumLength }

  package var bufferedCount: Int { buffer.count - offset }

  package mutating func append(_ bytes: some Sequence<UInt8>) {
    guard failure == nil else { return }
    if offset > 0 {
      buffer.removeFirst(offset)
      offset = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// Nil when more bytes are needed. After an error every call throws it again and nothing more is kept.
  package mutating func next() throws(WireError) -> BackendMessage? {
    if let failure { throw failure }
    do throws(WireError) {
      return try decode()
    } catch {
      failure = error
      buffer = []
      offset = 0
      throw error
    }
  }

  private mutating func decode() throws(WireError) -> BackendMessage? {
    guard bufferedCount >= 5 else { return nil }
    let type = buffer[offset]
    let length = buffer[(offset + 1)...(offset + 4)].reduce(into: Int32(0)) { $0 = $0 << 8 | Int32($1) }
    guard length >= 4 else { throw .lengthTooShort(length) }
    guard Int(length) <= maximumLength else {
      throw bareText() ?? .lengthTooLong(Int(length), bound: maximumLength)
    }
    let end = offset + 1 + Int(length)
    guard buffer.count >= end else { return nil }
    defer { offset = end }
    return try BackendMessage(type: type, body: buffer[(offset + 5)..<end])
  }

  /// `report_fork_failure_to_client` of the postmaster still answers `E` and a text, so that the text's first letters come out
  /// as a length of gigabytes. What it says is worth more than that.
  private func bareText() -> WireError? {
    guard buffer[offset] == UInt8(ascii: "E") else { return nil }
    let line = buffer[(offset + 1)...].prefix { $0 != 0 && $0 != UInt8(ascii: "\n") }
    guard line.count >= 4, line.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
    return .bareText(String(decoding: line.prefix(200), as: UTF8.self))
  }
}
