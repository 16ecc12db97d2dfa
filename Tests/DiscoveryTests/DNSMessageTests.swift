import Model
import TestSupport
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
    #expect(message.additional == [ResourceRecord(owner: .root, timeToLive: 0, data: .other(type: 41))])
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

  @Test func `reads a service with a compressed target`() throws {
    // RFC 2782 forbids compressing the target; servers do it all the same.
    var packet = PacketBuilder(answers: 2)
    packet.question("_db._tcp.example", .srv)
    packet.record([0xC0, 12], type: 33, ttl: 30, data: [0, 1, 0xFF, 0xFF, 0x15, 0x38, 2, 0x44, 0x42, 0xC0, 21])
    packet.record(.srv("_db._tcp.example", priority: 7, weight: 0, port: 0, target: ".", ttl: 40))
    let message = try DNSMessage(parsing: packet.bytes)
    let target = try #require(WireName("db.example"))
    #expect(
      message.answers.map(\.data) == [
        .service(ServiceRecord(priority: 1, weight: 65_535, port: 5432, target: target)),
        .service(ServiceRecord(priority: 7, weight: 0, port: 0, target: .root)),
      ])
    #expect(message.answers.map(\.timeToLive) == [30, 40])
  }

  @Test func `reads the strings of a text record one by one`() throws {
    var packet = PacketBuilder(answers: 3)
    packet.question("a.example", .txt)
    packet.record(.txt("a.example", "weight=5", "", "zone=\u{e9}", ttl: 9))
    packet.record([0xC0, 12], type: 16, ttl: 9, data: [2, 0xFF, 0x61])
    packet.record([0xC0, 12], type: 16, ttl: 9, data: [])
    let message = try DNSMessage(parsing: packet.bytes)
    #expect(message.answers.map(\.data) == [.text(["weight=5", "", "zone=\u{e9}"]), .text(["\u{FFFD}a"]), .text([])])
  }

  /// Not even what came before the broken record is believed.
  @Test func `an additional section that cannot be read is none`() throws {
    var packet = PacketBuilder(answers: 1, additional: 2)
    packet.question("a.example", .a)
    packet.address("a.example", [192, 0, 2, 1], ttl: 1)
    packet.address("b.example", [192, 0, 2, 2], ttl: 1)
    let good = packet.bytes
    packet.record([0xC0, 0xFF], type: 1, ttl: 1, data: [192, 0, 2, 3])
    let broken = try DNSMessage(parsing: packet.bytes)
    #expect(broken.answers.count == 1)
    #expect(broken.additional == [])
    var whole = PacketBuilder(answers: 1, additional: 1).bytes
    whole += good[12...]
    #expect(try DNSMessage(parsing: whole).additional.map(\.data) == [.address(.v4(0xC000_0202))])
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

  /// Every prefix is an error, but for those that end within the additional section, which may be unreadable.
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
      // The additional section is a courtesy: unreadable, it is as good as none.
      #expect(try DNSMessage(parsing: bytes).additional == [])
    } else {
      #expect(throws: DNSMessageError.self) { try DNSMessage(parsing: bytes) }
    }
  }

  @Test func refusesAMessageAboveTheProtocolsLimit() {
    let bytes = Self.golden + [UInt8](repeating: 0, count: 65_536 - Self.golden.count)
    #expect(throws: DNSMessageError.tooLong) { try DNSMessage(parsing: bytes) }
  }

  @Test func recordLengthsMustFitTheirData() {
    let broken: [(UInt16, [UInt8])] = [
      (1, [1, 2, 3]), (1, [1, 2, 3, 4, 5]), (28, [1, 2, 3, 4]), (5, [1, 97, 0, 7]), (6, [0, 0, 1]), (33, []), (33, [0, 1, 0]),
      (33, [0, 1, 0, 1, 0, 80]), (33, [0, 1, 0, 1, 0, 80, 0, 9]), (16, [1]), (16, [5, 97]), (16, [1, 97, 1]),
    ]
    for (type, data) in broken {
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

@Suite struct DNSMessageSizeTests {
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
