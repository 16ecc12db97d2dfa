import TestSupport

/// The packets of the corpus that somebody thought of, with what is to come of each. The machine's are made from these.
enum CorpusPackets {
  static var all: [CorpusEntry] { good + denials + failures + brokenNames + brokenRecords }

  private static func packet(
    _ name: String = "a.example", _ type: DNSType = .a, flags: UInt16 = 0x8180, answers: UInt16 = 0, authority: UInt16 = 0,
    additional: UInt16 = 0, _ build: (inout PacketBuilder) -> Void = { _ in }
  ) -> [UInt8] {
    var packet = PacketBuilder(flags: flags, answers: answers, authority: authority, additional: additional)
    packet.question(name, type)
    build(&packet)
    return packet.bytes
  }

  /// The question's name is at 12; the first record of a packet that asks for `a.example` at 27.
  private static let question: [UInt8] = [0xC0, 12]
  private static let options: [UInt8] = [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]

  private static let good: [CorpusEntry] = [
    CorpusEntry("alias and address as dig shows them", "www.example.com/A", "1 records and 0 for 60 s", DNSMessageTests.golden),
    CorpusEntry(
      "two addresses", "a.example/A", "2 records and 0 for 60 s",
      PacketBuilder.answer("a.example", [[192, 0, 2, 1], [192, 0, 2, 2]])),
    CorpusEntry(
      "an IPv6 address", "a.example/AAAA", "1 records and 0 for 60 s",
      PacketBuilder.answer("a.example", [[0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]])),
    CorpusEntry(
      "a chain of three aliases", "a.example/A", "1 records and 0 for 5 s",
      packet(answers: 4) {
        $0.alias("a.example", "b.example", ttl: 300)
        $0.alias("b.example", "c.example", ttl: 5)
        $0.alias("c.example", "d.example", ttl: 60)
        $0.address("d.example", [192, 0, 2, 1], ttl: 7)
      }),
    CorpusEntry(
      "services with their addresses", "_db._tcp.example/SRV", "2 records and 2 for 30 s",
      packet("_db._tcp.example", .srv, answers: 2, additional: 4) {
        $0.record(.srv("_db._tcp.example", priority: 1, weight: 2, port: 5432, target: "one.example", ttl: 30))
        $0.record(question, type: 33, ttl: 40, data: [0, 2, 0, 0, 0x15, 0x38] + PacketBuilder.name("two.example"))
        $0.record(.a("one.example", "192.0.2.1"))
        $0.record(.a("two.example", "2001:db8::2"))
        $0.record(.a("evil.example", "192.0.2.66"))
        $0.bytes += options
      }),
    CorpusEntry(
      "a drained service", "_db._tcp.example/SRV", "1 records and 0 for 30 s",
      packet("_db._tcp.example", .srv, answers: 1) {
        $0.record(.srv("_db._tcp.example", port: 0, target: ".", ttl: 30))
      }),
    CorpusEntry(
      "a service with an unreadable additional section", "_db._tcp.example/SRV", "1 records and 0 for 30 s",
      packet("_db._tcp.example", .srv, answers: 1, additional: 2) {
        $0.record(.srv("_db._tcp.example", port: 80, target: "one.example", ttl: 30))
        $0.record(.a("one.example", "192.0.2.1"))
        $0.record([0], type: 1, ttl: 1, data: [1])
      }),
    CorpusEntry(
      "text", "a.example/TXT", "2 records and 0 for 9 s",
      packet("a.example", .txt, answers: 2) {
        $0.record(.txt("a.example", "is_primary=true", "weight=5", ttl: 9), asked: "a.example")
        $0.record(.txt("a.example", "", ttl: 20))
      }),
    CorpusEntry(
      "text that is not UTF-8", "a.example/TXT", "1 records and 0 for 9 s",
      packet("a.example", .txt, answers: 1) { $0.record(question, type: 16, ttl: 9, data: [3, 0xFF, 0xC3, 0x28]) }),
    CorpusEntry(
      "text without a string", "a.example/TXT", "1 records and 0 for 9 s",
      packet("a.example", .txt, answers: 1) { $0.record(question, type: 16, ttl: 9, data: []) }),
    CorpusEntry(
      "name servers", "example/NS", "1 records and 0 for 8 s",
      packet("example", .ns, answers: 1) { $0.record(question, type: 2, ttl: 8, data: PacketBuilder.name("ns.example")) }),
    CorpusEntry(
      "a start of authority", "example/SOA", "1 records and 0 for 8 s",
      packet("example", .soa, answers: 1) { $0.startOfAuthority("example", ttl: 8, minimum: 1) }),
    CorpusEntry(
      "unknown types and classes", "a.example/A", "1 records and 0 for 6 s",
      packet(answers: 3) {
        $0.record(question, type: 46, ttl: 1, data: [1, 2, 3])
        $0.record(question, type: 1, recordClass: 3, ttl: 1, data: [9, 9])
        $0.address("a.example", [192, 0, 2, 1], ttl: 6)
      }),
    CorpusEntry(
      "a TTL with the top bit", "a.example/A", "1 records and 0 for 0 s",
      PacketBuilder.answer("a.example", [[192, 0, 2, 1]], ttl: 0x8000_0001)),
    CorpusEntry(
      "bytes behind the message", "a.example/A", "1 records and 0 for 60 s",
      PacketBuilder.answer("a.example", [[192, 0, 2, 1]]) + [1, 2, 3]),
    CorpusEntry(
      "fewer records counted than there are", "a.example/A", "1 records and 0 for 60 s",
      counting(6, 1, in: PacketBuilder.answer("a.example", [[192, 0, 2, 1], [192, 0, 2, 2]]))),
  ]

  private static let denials: [CorpusEntry] = [
    CorpusEntry(
      "no such name", "a.example/A", "NXDOMAIN for 30 s",
      packet(flags: 0x8183, authority: 1) { $0.startOfAuthority("example", ttl: 900, minimum: 30) }),
    CorpusEntry(
      "no such record", "a.example/A", "NODATA for 20 s",
      packet(authority: 1) { $0.startOfAuthority("example", ttl: 20, minimum: 300) }),
    CorpusEntry(
      "an alias to nothing", "a.example/A", "NXDOMAIN for 4 s",
      packet(flags: 0x8183, answers: 1, authority: 1) {
        $0.alias("a.example", "b.example", ttl: 4)
        $0.startOfAuthority("example", ttl: 900, minimum: 30)
      }),
    CorpusEntry("no such name and no authority", "a.example/A", "NXDOMAIN for an unknown time", packet(flags: 0x8183)),
    CorpusEntry("nothing at all", "a.example/A", "NODATA for an unknown time", packet()),
  ]

  private static let failures: [CorpusEntry] =
    [(1, "formatError"), (2, "serverFailure"), (4, "notImplemented"), (5, "refused"), (9, "otherCode(9)")].map {
      CorpusEntry("response code \($0.0)", "a.example/A", $0.1, packet(flags: 0x8180 | $0.0))
    } + [
      CorpusEntry("a referral", "a.example/A", "referral", packet(flags: 0x8000)),
      CorpusEntry(
        "a referral with name servers", "a.example/A", "referral",
        packet(authority: 1) { $0.record(PacketBuilder.name("example"), type: 2, ttl: 60, data: [1, 0x6E, 0]) }),
      CorpusEntry("truncated", "a.example/A", "truncated", packet(flags: 0x8380)),
      CorpusEntry(
        "no such name, with its address", "a.example/A", "contradiction",
        packet(flags: 0x8183, answers: 1) { $0.address("a.example", [192, 0, 2, 1], ttl: 60) }),
      CorpusEntry(
        "an alias loop", "a.example/A", "aliasLoop",
        packet(answers: 2) {
          $0.alias("a.example", "b.example", ttl: 60)
          $0.alias("b.example", "a.example", ttl: 60)
        }),
      CorpusEntry(
        "twelve aliases", "a.example/A", "aliasChainTooLong",
        packet(answers: 12) {
          for index in 0..<12 { $0.alias(index == 0 ? "a.example" : "\(index).example", "\(index + 1).example", ttl: 60) }
        }),
      CorpusEntry("a query", "a.example/A", "mismatch", packet(flags: 0x0100)),
      CorpusEntry("another operation", "a.example/A", "mismatch", packet(flags: 0xA180)),
      CorpusEntry("another question", "a.example/A", "mismatch", PacketBuilder.answer("b.example", [[192, 0, 2, 66]])),
      CorpusEntry(
        "the address of another name", "a.example/A", "mismatch",
        packet(answers: 1) { $0.address("b.example", [192, 0, 2, 66], ttl: 60) }),
      CorpusEntry("no question", "a.example/A", "mismatch", PacketBuilder(questions: 0).bytes),
    ]

  private static func named(_ owner: [UInt8]) -> [UInt8] {
    packet(answers: 1) { $0.record(owner, type: 1, ttl: 1, data: [192, 0, 2, 1]) }
  }

  private static let brokenNames: [CorpusEntry] = [
    CorpusEntry("a pointer to itself", "a.example/A", "malformed(pointerNotBackward)", named([0xC0, 27])),
    CorpusEntry("a pointer forward", "a.example/A", "malformed(pointerNotBackward)", named([0xC0, 29])),
    CorpusEntry("a pointer into its own labels", "a.example/A", "malformed(pointerNotBackward)", named([1, 0x78, 0xC0, 27])),
    CorpusEntry("a pointer into the header", "a.example/A", "malformed(pointerNotBackward)", named([0xC0, 3])),
    CorpusEntry("half a pointer", "a.example/A", "malformed(truncated)", Array(named([]).prefix(27)) + [0xC0]),
    CorpusEntry("a reserved label type", "a.example/A", "malformed(reservedLabelType)", named([0x41, 0x78, 0])),
    CorpusEntry("the other reserved label type", "a.example/A", "malformed(reservedLabelType)", named([0x80])),
    CorpusEntry(
      "a name of 256 bytes", "a.example/A", "malformed(nameTooLong)",
      named(Array(repeatElement([63] + [UInt8](repeating: 0x61, count: 63), count: 4).joined()) + [0])),
    CorpusEntry("too many pointers", "a.example/A", "malformed(tooManyPointers)", manyPointers),
    CorpusEntry(
      "a pointer into the data of a record", "a.example/A", "1 records and 0 for 5 s",
      packet(answers: 2) {
        $0.record(question, type: 99, ttl: 5, data: PacketBuilder.name("b.example"))
        $0.record([0xC0, 12], type: 1, ttl: 5, data: [192, 0, 2, 1])
      }),
  ]

  /// 200 pointers in the data of a record, each to the one before.
  private static var manyPointers: [UInt8] {
    packet(answers: 2) {
      let start = $0.bytes.count + 1 + 10
      var data: [UInt8] = []
      for index in 0..<200 {
        let target = index == 0 ? 12 : start + 2 * (index - 1)
        data += [0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)]
      }
      $0.record([0], type: 99, ttl: 1, data: data)
      let last = start + 2 * 199
      $0.record([0xC0 | UInt8(last >> 8), UInt8(last & 0xFF)], type: 1, ttl: 1, data: [192, 0, 2, 1])
    }
  }

  private static let brokenRecords: [CorpusEntry] =
    ([
      (1, [1, 2, 3]), (1, [1, 2, 3, 4, 5]), (28, [1, 2, 3, 4]), (5, [1, 97, 0, 7]), (5, []), (2, [1]), (6, [0, 0, 1]),
      (33, [0, 1]), (33, [0, 1, 0, 1, 0, 80]), (33, [0, 1, 0, 1, 0, 80, 0, 9]), (16, [5, 97]), (16, [1, 97, 1]),
    ] as [(UInt16, [UInt8])]).map { type, data in
      CorpusEntry(
        "\(data.count) bytes as \(DNSType(rawValue: type))", "a.example/A", "malformed(recordLength)",
        packet(answers: 1) {
          $0.record(question, type: type, ttl: 1, data: data)
          // What reads past its record runs into this.
          $0.bytes += [UInt8](repeating: 0, count: 64)
        })
    } + [
      CorpusEntry("no bytes", "a.example/A", "malformed(truncated)", []),
      CorpusEntry("half a header", "a.example/A", "malformed(truncated)", [0x12, 0x34, 0x81, 0x80, 0, 1]),
      CorpusEntry(
        "more answers counted than there are", "a.example/A", "malformed(truncated)", counting(6, 0xFFFF, in: named(question))),
      CorpusEntry(
        "more questions counted than there are", "a.example/A", "malformed(truncated)", counting(4, 0xFFFF, in: packet())),
      CorpusEntry(
        "a record length behind the end", "a.example/A", "malformed(truncated)",
        packet(answers: 1) {
          $0.record(question, type: 99, ttl: 1, data: [1, 2, 3])
          $0.bytes.removeLast()
        }),
    ]

  /// Overwrites a count of the header.
  private static func counting(_ offset: Int, _ count: UInt16, in packet: [UInt8]) -> [UInt8] {
    var packet = packet
    packet.replaceSubrange(offset...(offset + 1), with: [UInt8(count >> 8), UInt8(count & 0xFF)])
    return packet
  }
}
