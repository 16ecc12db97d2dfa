import PostgresWire
import Model
import Testing

@Suite struct MessageDecoderTests {
  private static func decode(_ chunks: [ArraySlice<UInt8>], bound: Int = 30_000) throws(WireError) -> [BackendMessage] {
    var decoder = MessageDecoder(maximumLength: bound)
    var messages: [BackendMessage] = []
    for chunk in chunks {
      decoder.append(chunk)
      while let message = try decoder.next() { messages.append(message) }
    }
    return messages
  }

  @Test func everyKindOfMessage() throws {
    #expect(try Self.decode([Server.everything.bytes[...]]) == Server.everything.messages)
  }

  @Test func everySplitPoint() throws {
    let bytes = Server.everything.bytes
    for split in 0...bytes.count {
      let messages = try Self.decode([bytes[..<split], bytes[split...]])
      #expect(messages == Server.everything.messages, "split at \(split)")
    }
  }

  @Test func oneByteAtATime() throws {
    let bytes = Server.everything.bytes
    #expect(try Self.decode(bytes.indices.map { bytes[$0...$0] }) == Server.everything.messages)
  }

  @Test func lengthIsCheckedBeforeTheBodyIsWaitedFor() {
    var decoder = MessageDecoder(maximumLength: 1000)
    decoder.append(Array("S".utf8) + Server.int32(1001))
    #expect(throws: WireError.lengthTooLong(1001, bound: 1000)) { try decoder.next() }
    #expect(decoder.bufferedCount == 0)
    // What comes after an error is neither kept nor understood.
    decoder.append(Server.ready)
    #expect(decoder.bufferedCount == 0)
    #expect(throws: WireError.lengthTooLong(1001, bound: 1000)) { try decoder.next() }
  }

  @Test func aMessageAsLongAsTheBoundPasses() throws {
    let body = Server.string("n") + Server.string(String(repeating: "v", count: 993))
    #expect(try Self.decode([Server.message("S", body)[...]], bound: 1000).count == 1)
    let longer = Server.message("S", body + [0])
    #expect(throws: WireError.lengthTooLong(1001, bound: 1000)) { try Self.decode([longer[...]], bound: 1000) }
  }

  @Test(arguments: [Int32.min, -1, 0, 3])
  func impossibleLengths(length: Int32) {
    #expect(throws: WireError.lengthTooShort(length)) { try Self.decode([(Array("Z".utf8) + Server.int32(length))[...]]) }
  }

  @Test func lyingCounts() {
    let bodies: [(Character, [UInt8])] = [
      ("T", Server.int16(.max)), ("T", Server.int16(-1)), ("D", Server.int16(.max)), ("D", Server.int16(-1)),
      ("D", Server.int16(1) + Server.int32(.max)), ("D", Server.int16(1) + Server.int32(-2)),
      ("v", Server.int32(0) + Server.int32(.max)), ("v", Server.int32(0) + Server.int32(-1)),
    ]
    for (type, body) in bodies {
      #expect(throws: WireError.self, "\(type) \(body)") { try Self.decode([Server.message(type, body)[...]]) }
    }
  }

  @Test func bytesLeftOverAreAnError() {
    for (type, body) in [("Z", Array("I!".utf8)), ("R", Server.int32(0) + [0]), ("I", [0])] as [(Character, [UInt8])] {
      #expect(throws: WireError.self, "\(type)") { try Self.decode([Server.message(type, body)[...]]) }
    }
  }

  /// `report_fork_failure_to_client` still answers as protocol version 2 did.
  @Test func postmasterThatCannotFork() {
    let bytes = Array("Ecould not fork new process for connection: Cannot allocate memory\n\0".utf8)
    #expect(throws: WireError.bareText("could not fork new process for connection: Cannot allocate memory")) {
      try Self.decode([bytes[...]])
    }
  }

  @Test func unlocalizedSeverityWins() throws {
    let body = Server.string("SFATALE") + Server.string("VFATAL") + Server.string("C53300") + Server.string("Mtroppo") + [0]
    #expect(
      try Self.decode([Server.message("E", body)[...]])
        == [.errorResponse(ServerError(severity: "FATAL", state: .tooManyConnections, message: "troppo"))])
    let old = Server.string("SERREUR") + [0]
    #expect(
      try Self.decode([Server.message("E", old)[...]])
        == [.errorResponse(ServerError(severity: "ERREUR", state: "XX000", message: ""))])
  }

  /// Bytes flipped, lost, doubled and moved, in random slices: an error or messages, never a trap, never more kept than the bound.
  @Test func mutatedStreams() {
    var random = SeededGenerator(seed: 0x1eba)
    let bound = 600
    var errors = 0
    for _ in 0..<8000 {
      let bytes = mutated(Server.everything.bytes, using: &random)
      var decoder = MessageDecoder(maximumLength: bound)
      var rest = bytes[...]
      stream: while !rest.isEmpty {
        let chunk = rest.prefix(Int.random(in: 1...64, using: &random))
        rest = rest.dropFirst(chunk.count)
        decoder.append(chunk)
        do throws(WireError) {
          while try decoder.next() != nil {}
        } catch {
          errors += 1
          break stream
        }
        if decoder.bufferedCount > bound + 1 {
          Issue.record("\(decoder.bufferedCount) bytes kept")
          return
        }
      }
    }
    // Else the mutations would not reach anything.
    #expect(errors > 2000)
  }
}

func mutated(_ original: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
  var bytes = original
  for _ in 0..<Int.random(in: 1...4, using: &random) {
    guard !bytes.isEmpty else { break }
    let index = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2: bytes.remove(at: index)
    case 3: bytes.insert(contentsOf: bytes[index...].prefix(9), at: index)
    default: bytes.removeSubrange(index...)
    }
  }
  return bytes
}
