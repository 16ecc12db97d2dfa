import Model
import Testing

@testable import Discovery

@Suite struct DNSMessageTests {
  /// As dig shows it for www.example.com: an alias, an address behind it, everything compressed.
  static let golden: [UInt8] = [
    0xBE, 0xEF, 0x85, 0x80, 0, 1, 0, 2, 0, 1, 0, 1,
    3, 0x77, 0x77, 0x77, 7, 0x65, 0x78, 0x61, 0x6D, 0x70, 0x6C, 0x65, 3, 0x63, 0x6F, 0x6D, 0, 0, 1, 0, 1,
    // www CNAME web.example.com, 300 s
    0xC0, 0x0C, 0, 5, 0, 1, 0, 0, 1, 0x2C, 0, 6, 3, 0x57, 0x65, 0x42, 0xC0, 0x10,
    // web A 192.0.2.7, 60 s
    0xC0, 0x2D, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7,
    // example.com NS ns.example.com, 3600 s
    0xC0, 0x10, 0, 2, 0, 1, 0, 0, 0x0E, 0x10, 0, 5, 2, 0x6E, 0x73, 0xC0, 0x10,
    // OPT
    0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0,
  ]

  @Test func readsAGoldenPacket() throws {
    let message = try DNSMessage(parsing: Self.golden)
    let www = try #require(WireName("www.example.com"))
    let web = try #require(WireName("web.example.com"))
    #expect(
      message.header
        == DNSMessage.Header(
          id: 0xBEEF, isResponse: true, opcode: 0, isAuthoritative: true, isTruncated: false, recursionAvailable: true,
          code: .noError))
    #expect(message.questions == [DNSMessage.Question(name: www, type: 1, recordClass: 1)])
    #expect(
      message.answers == [
        ResourceRecord(owner: www, timeToLive: 300, data: .alias(web)),
        ResourceRecord(owner: web, timeToLive: 60, data: .address(.v4(0xC000_0207))),
      ])
    #expect(
      message.authority == [
        ResourceRecord(
          owner: try #require(WireName("example.com")), timeToLive: 3600,
          data: .nameServer(try #require(WireName("ns.example.com"))))
      ])
  }

  @Test func readsIPv6() throws {
    let address: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]
    let message = try DNSMessage(parsing: PacketBuilder.answer("a.example", [address]))
    #expect(message.answers.map(\.data) == [.address(try #require(IPAddress("2001:db8::5")))])
  }

  @Test func readsTheMinimumOfAnSOA() throws {
    var packet = PacketBuilder(flags: 0x8183, authority: 1)
    packet.question("no.example", .a)
    packet.startOfAuthority("example", ttl: 900, minimum: 30)
    let message = try DNSMessage(parsing: packet.bytes)
    #expect(message.authority.map(\.data) == [.startOfAuthority(minimum: 30)])
    #expect(message.authority.map(\.timeToLive) == [900])
    #expect(message.header.code == .nameError)
  }

  @Test func aTTLWithTheTopBitIsZero() throws {
    let message = try DNSMessage(parsing: PacketBuilder.answer("a.example", [[192, 0, 2, 1]], ttl: 0x8000_0001))
    #expect(message.answers.map(\.timeToLive) == [0])
  }

  @Test func skipsUnknownTypesAndClasses() throws {
    var packet = PacketBuilder(answers: 2)
    packet.question("a.example", .a)
    packet.record([0xC0, 0x0C], type: 46, ttl: 1, data: [1, 2, 3])
    packet.record([0xC0, 0x0C], type: 1, recordClass: 3, ttl: 1, data: [9, 9])
    let message = try DNSMessage(parsing: packet.bytes)
    #expect(message.answers.map(\.data) == [.other(type: 46), .other(type: 1)])
  }

  /// Every prefix is an error, but for those that end within the additional section, which is not read.
  @Test func everyTruncationIsAnError() throws {
    let needed = Self.golden.count - 11
    for length in 0..<needed {
      #expect(throws: DNSMessageError.truncated, "\(length) bytes") {
        try DNSMessage(parsing: Array(Self.golden.prefix(length)))
      }
    }
    #expect(throws: Never.self) { try DNSMessage(parsing: Array(Self.golden.prefix(needed))) }
  }

  @Test(arguments: [0, 1, 2, 3])
  func lyingCountsAreTruncation(field: Int) throws {
    var bytes = Array(Self.golden)
    bytes[4 + 2 * field] = 0xFF
    bytes[5 + 2 * field] = 0xFF
    if field == 3 {
      // The additional section is not read.
      #expect(throws: Never.self) { try DNSMessage(parsing: bytes) }
    } else {
      #expect(throws: DNSMessageError.self) { try DNSMessage(parsing: bytes) }
    }
  }

  @Test func refusesAMessageAboveTheProtocolsLimit() {
    let bytes = Self.golden + [UInt8](repeating: 0, count: 65_536 - Self.golden.count)
    #expect(throws: DNSMessageError.tooLong) { try DNSMessage(parsing: bytes) }
  }

  @Test func recordLengthsMustFitTheirData() {
    for (type, data) in [(1, [1, 2, 3]), (1, [1, 2, 3, 4, 5]), (28, [1, 2, 3, 4]), (5, [1, 97, 0, 7]), (6, [0, 0, 1])]
      as [(UInt16, [UInt8])]
    {
      var packet = PacketBuilder(answers: 1)
      packet.question("a.example", .a)
      packet.record([0xC0, 0x0C], type: type, ttl: 1, data: data)
      // What reads past its record would otherwise run into this.
      packet.bytes += [UInt8](repeating: 0, count: 64)
      #expect(throws: DNSMessageError.recordLength, "type \(type)") { try DNSMessage(parsing: packet.bytes) }
    }
  }
}

@Suite struct DNSNameParsingTests {
  private func parse(_ owner: [UInt8]) throws -> DNSMessage {
    var packet = PacketBuilder(answers: 1)
    packet.question("a.example", .a)
    packet.record(owner, type: 1, ttl: 1, data: [192, 0, 2, 1])
    return try DNSMessage(parsing: packet.bytes)
  }

  /// The owner of the first record begins here.
  private let ownerOffset: UInt8 = 12 + 11 + 4

  @Test func aPointerToItselfIsRefused() {
    #expect(throws: DNSMessageError.pointerNotBackward) { try parse([0xC0, ownerOffset]) }
  }

  @Test func aPointerForwardIsRefused() {
    #expect(throws: DNSMessageError.pointerNotBackward) { try parse([0xC0, ownerOffset + 2]) }
  }

  @Test func aPointerIntoItsOwnRunIsRefused() {
    // "x" and then back to "x": a loop of one label.
    #expect(throws: DNSMessageError.pointerNotBackward) { try parse([1, 0x78, 0xC0, ownerOffset]) }
  }

  @Test func aPointerIntoTheHeaderIsRefused() {
    #expect(throws: DNSMessageError.pointerNotBackward) { try parse([0xC0, 3]) }
  }

  @Test func twoPointersAtEachOtherAreRefused() {
    // The question's name is made to end with a pointer to the record, whose name points to the question.
    var packet = PacketBuilder(answers: 1)
    packet.bytes += [0xC0, 18, 0, 1, 0, 1]
    packet.record([0xC0, 12], type: 1, ttl: 1, data: [192, 0, 2, 1])
    #expect(throws: DNSMessageError.pointerNotBackward) { try DNSMessage(parsing: packet.bytes) }
  }

  @Test func aLongChainOfPointersIsRefused() {
    // 200 pointers, each to the one before: backward all the way, and still only work for nothing.
    var packet = PacketBuilder(questions: 1, answers: 1)
    packet.question("a.example", .a)
    var data: [UInt8] = []
    let start = packet.bytes.count + 1 + 10
    for index in 0..<200 {
      let target = index == 0 ? 12 : start + 2 * (index - 1)
      data += [0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)]
    }
    packet.record([0], type: 99, ttl: 1, data: data)
    let last = start + 2 * 199
    packet.record([0xC0 | UInt8(last >> 8), UInt8(last & 0xFF)], type: 1, ttl: 1, data: [192, 0, 2, 1])
    packet.bytes[7] = 2
    #expect(throws: DNSMessageError.tooManyPointers) { try DNSMessage(parsing: packet.bytes) }
  }

  @Test(arguments: [0x40, 0x80] as [UInt8])
  func reservedLabelTypesAreRefused(bits: UInt8) {
    #expect(throws: DNSMessageError.reservedLabelType) { try parse([bits | 1, 0x78, 0]) }
  }

  @Test func namesEndAt255Bytes() throws {
    let label63: [UInt8] = [63] + [UInt8](repeating: 0x61, count: 63)
    let longest = label63 + label63 + label63 + [61] + [UInt8](repeating: 0x61, count: 61) + [0]
    #expect(longest.count == 255)
    #expect(try parse(longest).answers.first?.owner.bytes.count == 254)
    let tooLong = label63 + label63 + label63 + [62] + [UInt8](repeating: 0x61, count: 62) + [0]
    #expect(throws: DNSMessageError.nameTooLong) { try parse(tooLong) }
  }

  @Test func namesCompareWithoutCase() throws {
    #expect(try parse([1, 0x41, 7] + Array("EXAMPLE".utf8) + [0]).answers.first?.owner == WireName("a.example"))
  }

  @Test func hostileNamesPrintEscaped() throws {
    let owner = try parse([4, 0x61, 0x2E, 0x0A, 0xFF, 1, 0x5C, 0]).answers.first?.owner
    #expect(owner?.description == #"a\.\010\255.\\"#)
    #expect(owner != WireName("a"))
  }
}

/// Seeded noise: any outcome is right as long as there is one.
@Suite struct DNSMessageFuzzTests {
  private func corpus() -> [[UInt8]] {
    var soa = PacketBuilder(flags: 0x8183, authority: 1)
    soa.question("no.example", .a)
    soa.startOfAuthority("example", ttl: 900, minimum: 30)
    var chain = PacketBuilder(answers: 4)
    chain.question("a.example", .a)
    for index in 0..<3 { chain.alias("\(index).example", "\(index + 1).example", ttl: 5) }
    chain.address("3.example", [192, 0, 2, 1], ttl: 7)
    return [DNSMessageTests.golden, soa.bytes, chain.bytes, PacketBuilder.answer("a.example", [[192, 0, 2, 1], [192, 0, 2, 2]])]
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func mutatedPacketsNeverTrap(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let corpus = corpus()
    let name = try #require(WireName("a.example"))
    var parsed = 0
    var refused = 0
    for _ in 0..<5000 {
      var bytes = corpus.randomElement(using: &random) ?? []
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
        case 3 where bytes.count > 1: bytes.remove(at: index)
        default: bytes[index] = 0xC0 | (bytes[index] & 0x3F)
        }
      }
      do {
        let message = try DNSMessage(parsing: bytes)
        parsed += 1
        // No more records than bytes allow, whatever the header says.
        #expect(message.answers.count * 11 <= bytes.count)
        _ = message.answers.map(\.owner.description)
        _ = try? DNSAnswer(parsing: bytes, name: name, type: .a)
      } catch {
        refused += 1
      }
    }
    #expect(parsed > 100 && refused > 100, "the mutations hit both sides: \(parsed) parsed, \(refused) refused")
  }

  @Test func noiseNeverTraps() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<5000 {
      let bytes = (0..<Int.random(in: 0...80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try? DNSMessage(parsing: bytes)
    }
  }

  /// The largest message, made only of records with names as long as pointers can make them, is read in bounded time.
  @Test func theWorstMessageIsReadToItsEnd() throws {
    let label: [UInt8] = [1, 0x61]
    let records = 4000
    var packet = PacketBuilder(answers: UInt16(records))
    packet.bytes += Array(repeatElement(label, count: 126).joined()) + [0, 0, 1, 0, 1]
    for _ in 0..<records { packet.record([1, 0x62, 0xC0, 14], type: 1, ttl: 1, data: [192, 0, 2, 1]) }
    // 4 bytes of owner make 18 a record; what fits is read, and the rest of the count is a lie.
    packet.bytes = Array(packet.bytes.prefix(65_535))
    let fitting = (packet.bytes.count - 12 - 257) / 18
    packet.bytes[6] = UInt8(fitting >> 8)
    packet.bytes[7] = UInt8(fitting & 0xFF)
    #expect(try DNSMessage(parsing: packet.bytes).answers.count == fitting)
  }
}
