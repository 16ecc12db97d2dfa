import Model
import TestSupport
import Testing

@testable import Discovery

@Suite struct DNSAnswerTests {
  private func name(_ text: String) throws -> WireName { try #require(WireName(text)) }

  private func answer(
    flags: UInt16 = 0x8180, answers: UInt16 = 0, authority: UInt16 = 0, _ build: (inout PacketBuilder) -> Void
  ) throws -> DNSAnswer {
    var packet = PacketBuilder(flags: flags, answers: answers, authority: authority)
    packet.question("a.example", .a)
    build(&packet)
    return try DNSAnswer(parsing: packet.bytes, name: try name("a.example"), type: .a)
  }

  @Test func addresses() throws {
    let answer = try DNSAnswer(
      parsing: PacketBuilder.answer("a.example", [[192, 0, 2, 1], [192, 0, 2, 2]], ttl: 33), name: try name("a.example"), type: .a)
    #expect(answer == .records([.address(.v4(0xC000_0201)), .address(.v4(0xC000_0202))], timeToLive: 33))
  }

  @Test func theSmallestTTLOfTheChainCounts() throws {
    let answer = try answer(answers: 3) {
      $0.alias("a.example", "b.example", ttl: 300)
      $0.alias("b.example", "c.example", ttl: 7)
      $0.address("c.example", [192, 0, 2, 1], ttl: 60)
    }
    #expect(answer == .records([.address(.v4(0xC000_0201))], timeToLive: 7))
  }

  @Test func theOrderOfTheChainInThePacketDoesNotMatter() throws {
    let answer = try answer(answers: 3) {
      $0.address("c.example", [192, 0, 2, 1], ttl: 60)
      $0.alias("b.example", "c.example", ttl: 9)
      $0.alias("a.example", "b.example", ttl: 300)
    }
    #expect(answer == .records([.address(.v4(0xC000_0201))], timeToLive: 9))
  }

  @Test func addressesOfOtherNamesAreNotTaken() throws {
    let answer = try answer(answers: 2) {
      $0.address("evil.example", [192, 0, 2, 66], ttl: 60)
      $0.address("a.example", [192, 0, 2, 1], ttl: 60)
    }
    #expect(answer == .records([.address(.v4(0xC000_0201))], timeToLive: 60))
  }

  @Test func elevenAliasesAreFollowedAndTwelveAreNot() throws {
    func chain(_ links: Int) throws -> DNSAnswer {
      try answer(answers: UInt16(links + 1)) {
        for index in 0..<links { $0.alias(index == 0 ? "a.example" : "\(index).example", "\(index + 1).example", ttl: 60) }
        $0.address("\(links).example", [192, 0, 2, 1], ttl: 60)
      }
    }
    #expect(try chain(11) == .records([.address(.v4(0xC000_0201))], timeToLive: 60))
    #expect(throws: AnswerError.aliasChainTooLong) { try chain(12) }
  }

  @Test func aliasLoopsAreRefused() {
    #expect(throws: AnswerError.aliasLoop) {
      try answer(answers: 2) {
        $0.alias("a.example", "b.example", ttl: 60)
        $0.alias("b.example", "a.example", ttl: 60)
      }
    }
    #expect(throws: AnswerError.aliasLoop) { try answer(answers: 1) { $0.alias("a.example", "a.example", ttl: 60) } }
  }

  // MARK: Services and texts

  private func services(
    answers: UInt16, additional: UInt16 = 0, _ build: (inout PacketBuilder) -> Void
  ) throws -> DNSAnswer {
    var packet = PacketBuilder(answers: answers, additional: additional)
    packet.question("_db._tcp.example", .srv)
    build(&packet)
    return try DNSAnswer(parsing: packet.bytes, name: try name("_db._tcp.example"), type: .srv)
  }

  @Test func `a service brings the addresses of its targets and no others`() throws {
    let answer = try services(answers: 2, additional: 5) {
      $0.record(.srv("_db._tcp.example", priority: 1, weight: 2, port: 5432, target: "One.example", ttl: 30))
      $0.record(.srv("_db._tcp.example", port: 5433, target: "two.example", ttl: 20))
      $0.record(.a("one.example", "192.0.2.1", ttl: 3))
      $0.record(.a("two.example", "2001:db8::2", ttl: 4))
      $0.record(.a("evil.example", "192.0.2.66"))
      $0.record(.txt("one.example", "weight=5"))
      $0.record([0], type: 41, recordClass: 1232, ttl: 0, data: [])
    }
    let one = try name("one.example")
    let two = try name("two.example")
    let six = try #require(IPAddress("2001:db8::2"))
    #expect(
      answer
        == .records(
          [
            .service(ServiceRecord(priority: 1, weight: 2, port: 5432, target: one)),
            .service(ServiceRecord(priority: 0, weight: 1, port: 5433, target: two)),
          ], timeToLive: 20,
          additional: [
            ResourceRecord(owner: one, timeToLive: 3, data: .address(.v4(0xC000_0201))),
            ResourceRecord(owner: two, timeToLive: 4, data: .address(six)),
          ]))
  }

  @Test func `a service behind an alias is taken`() throws {
    let answer = try services(answers: 2) {
      $0.alias("_db._tcp.example", "_db._tcp.other", ttl: 5)
      $0.record(.srv("_db._tcp.other", port: 1, target: "."))
    }
    #expect(answer == .records([.service(ServiceRecord(priority: 0, weight: 1, port: 1, target: .root))], timeToLive: 1))
  }

  /// Nobody asked for anything beyond the addresses, so what else comes along could only mislead.
  @Test func `an address answer takes nothing from the additional section`() throws {
    var packet = PacketBuilder(answers: 1, additional: 1)
    packet.question("a.example", .a)
    packet.record(.a("a.example", "192.0.2.1", ttl: 60))
    packet.record(.a("a.example", "192.0.2.66"))
    let answer = try DNSAnswer(parsing: packet.bytes, name: try name("a.example"), type: .a)
    #expect(answer == .records([.address(.v4(0xC000_0201))], timeToLive: 60))
  }

  @Test func `texts are read whole`() throws {
    var packet = PacketBuilder(answers: 2)
    packet.question("a.example", .txt)
    packet.record(.txt("a.example", "is_primary=true", "weight=5", ttl: 9))
    packet.record(.txt("b.example", "is_primary=false", ttl: 1))
    let answer = try DNSAnswer(parsing: packet.bytes, name: try name("a.example"), type: .txt)
    #expect(answer == .records([.text(["is_primary=true", "weight=5"])], timeToLive: 9))
  }

  // MARK: Denials

  @Test func aDenialLastsAsLongAsItsSOASays() throws {
    for (ttl, minimum, expected) in [(900, 30, 30), (20, 300, 20)] as [(UInt32, UInt32, UInt32)] {
      let denial = try answer(flags: 0x8183, authority: 1) { $0.startOfAuthority("example", ttl: ttl, minimum: minimum) }
      #expect(denial == .empty(.noSuchName, timeToLive: expected))
    }
  }

  @Test func anAliasShortensTheDenialBehindIt() throws {
    let denial = try answer(answers: 1, authority: 1) {
      $0.alias("a.example", "b.example", ttl: 4)
      $0.startOfAuthority("example", ttl: 900, minimum: 30)
    }
    #expect(denial == .empty(.noSuchRecord, timeToLive: 4))
  }

  @Test func aRecursiveServerMayDenyWithoutSOA() throws {
    #expect(try answer(flags: 0x8180) { _ in } == .empty(.noSuchRecord, timeToLive: nil))
    #expect(try answer(flags: 0x8183) { _ in } == .empty(.noSuchName, timeToLive: nil))
    #expect(try answer(flags: 0x8403) { _ in } == .empty(.noSuchName, timeToLive: nil))
  }

  /// Neither authority nor recursion: such a server knows nothing, and nothing must not remove a backend.
  @Test func aServerThatDoesNotKnowDeniesNothing() {
    #expect(throws: AnswerError.referral) { try answer(flags: 0x8000) { _ in } }
    #expect(throws: AnswerError.referral) { try answer(flags: 0x8003) { _ in } }
  }

  @Test func aReferralIsNoDenial() {
    #expect(throws: AnswerError.referral) {
      try answer(flags: 0x8180, authority: 1) { $0.record(PacketBuilder.name("example"), type: 2, ttl: 60, data: [1, 0x6E, 0]) }
    }
  }

  @Test func anAliasOutOfTheAuthoritysZonesIsNoDenial() {
    #expect(throws: AnswerError.referral) { try answer(flags: 0x8400, answers: 1) { $0.alias("a.example", "b.other", ttl: 60) } }
  }

  // MARK: Failures

  @Test(
    arguments: [(1, .formatError), (2, .serverFailure), (4, .notImplemented), (5, .refused), (9, .otherCode(9))]
      as [(UInt16, AnswerError)])
  func codesStayApart(code: UInt16, error: AnswerError) {
    #expect(throws: error) { try answer(flags: 0x8180 | code) { _ in } }
  }

  @Test func whatIsNotOurAnswerIsRefused() throws {
    let packet = PacketBuilder.answer("a.example", [[192, 0, 2, 1]])
    #expect(throws: AnswerError.mismatch) { try DNSAnswer(parsing: packet, name: try name("b.example"), type: .a) }
    #expect(throws: AnswerError.mismatch) { try DNSAnswer(parsing: packet, name: try name("a.example"), type: .aaaa) }
    // A query, not a response; another operation; two questions; none.
    #expect(throws: AnswerError.mismatch) { try answer(flags: 0x0180) { _ in } }
    #expect(throws: AnswerError.mismatch) { try answer(flags: 0xA180) { _ in } }
    var two = PacketBuilder(questions: 2)
    two.question("a.example", .a)
    two.question("a.example", .a)
    #expect(throws: AnswerError.mismatch) { try DNSAnswer(parsing: two.bytes, name: try name("a.example"), type: .a) }
    let none = PacketBuilder(questions: 0)
    #expect(throws: AnswerError.mismatch) { try DNSAnswer(parsing: none.bytes, name: try name("a.example"), type: .a) }
  }

  /// It used to pass for NODATA, and would have removed the backends of the name.
  @Test func `addresses of another name alone deny nothing`() throws {
    for flags in [0x8180, 0x8580, 0x8183] as [UInt16] {
      #expect(throws: AnswerError.mismatch) {
        try answer(flags: flags, answers: 1, authority: 1) {
          $0.address("b.example", [192, 0, 2, 66], ttl: 60)
          $0.startOfAuthority("example", ttl: 900, minimum: 30)
        }
      }
    }
    // A chain with a link missing is as little a denial.
    #expect(throws: AnswerError.mismatch) {
      try answer(answers: 2) {
        $0.alias("a.example", "b.example", ttl: 60)
        $0.address("c.example", [192, 0, 2, 1], ttl: 60)
      }
    }
  }

  @Test func aTruncatedAnswerIsNone() {
    #expect(throws: AnswerError.truncated) {
      try answer(flags: 0x8380, answers: 1) { $0.address("a.example", [192, 0, 2, 1], ttl: 60) }
    }
  }

  @Test func aDenialWithRecordsIsAContradiction() {
    #expect(throws: AnswerError.contradiction) {
      try answer(flags: 0x8183, answers: 1) { $0.address("a.example", [192, 0, 2, 1], ttl: 60) }
    }
  }

  @Test func brokenBytesAreMalformed() throws {
    #expect(throws: AnswerError.malformed(.truncated)) {
      try DNSAnswer(parsing: [1, 2, 3], name: try name("a.example"), type: .a)
    }
    #expect(AnswerError.malformed(.truncated).failure == .malformed)
  }
}
