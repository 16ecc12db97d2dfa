import Model
import NIOCore
import Testing

@testable import Health

@Suite struct MySQLConversationTests {
  private static let nonce = [UInt8](1...20)
  private static let quit = packet([1], 0)
  private static let ping = packet([0x0e], 0)
  private static let ok = packet([0, 0, 0, 2, 0, 0, 0], 2)

  private static func packet(_ payload: [UInt8], _ sequence: UInt8) -> [UInt8] {
    MySQLPacketReader.packet(payload, sequence: sequence)
  }

  private static func greeting(
    plugin: String = "mysql_native_password", protocolVersion: UInt8 = 10, offersTLS: Bool = true
  ) -> [UInt8] {
    var payload: [UInt8] = [protocolVersion]
    payload += Array("8.4.0".utf8) + [0, 1, 0, 0, 0]
    payload += nonce.prefix(8) + [0]
    payload += [0xff, offersTLS ? 0xff : 0xf7, 45, 2, 0, 0xff, 0xdf, 21] + [UInt8](repeating: 0, count: 10)
    payload += nonce.dropFirst(8) + [0]
    payload += Array(plugin.utf8) + [0]
    return packet(payload, 0)
  }

  private static func error(_ code: UInt16, _ text: String, sequence: UInt8 = 2) -> [UInt8] {
    packet([0xff, UInt8(truncatingIfNeeded: code), UInt8(code >> 8)] + Array(text.utf8), sequence)
  }

  private static func login(_ user: String, _ response: [UInt8], plugin: String, isEncrypted: Bool = false) -> [UInt8] {
    var payload = opening(isEncrypted: isEncrypted)
    payload += Array(user.utf8) + [0, UInt8(response.count)]
    payload += response
    payload += Array(plugin.utf8) + [0]
    return packet(payload, isEncrypted ? 2 : 1)
  }

  private static func opening(isEncrypted: Bool) -> [UInt8] {
    [0x01, isEncrypted ? 0x8a : 0x82, 0x08, 0, 0, 0, 0, 1, 45] + [UInt8](repeating: 0, count: 23)
  }

  private func steps(
    _ check: MySQLCheck, link: MySQLConversation.Link = .openWithoutTLS, hearing packets: [[UInt8]], inPieces: Bool = false
  ) -> [ConversationStep] {
    var talk = MySQLConversation(check, link: link)
    var steps = talk.connected()
    for packet in packets {
      for piece in inPieces ? packet.map({ [$0] }) : [packet] { steps += talk.received(ByteBuffer(bytes: piece).readableBytesView) }
    }
    return steps
  }

  private let withPassword = MySQLCheck(user: "app", password: Secret("secret ü"))
  // Computed with Python's hashlib.
  private let native: [UInt8] = [155, 233, 52, 52, 23, 17, 19, 9, 138, 30, 196, 203, 242, 125, 215, 133, 83, 127, 227, 175]
  private let cached: [UInt8] = [
    216, 17, 59, 191, 81, 217, 161, 44, 92, 203, 69, 136, 152, 60, 119, 154, 71, 176, 8, 203, 21, 42, 64, 233, 77, 247, 198, 216,
    154, 14, 250,
    58,
  ]

  @Test(arguments: [false, true]) func nativePassword(inPieces: Bool) {
    let steps = steps(withPassword, hearing: [Self.greeting(), Self.ok], inPieces: inPieces)
    #expect(steps == [.send(Self.login("app", native, plugin: "mysql_native_password")), .pass])
  }

  @Test(arguments: [false, true]) func cachedPassword(inPieces: Bool) {
    let packets = [Self.greeting(plugin: "caching_sha2_password"), Self.packet([1, 3], 2), Self.ok]
    let steps = steps(withPassword, hearing: packets, inPieces: inPieces)
    #expect(steps == [.send(Self.login("app", cached, plugin: "caching_sha2_password")), .pass])
  }

  /// To hang up would be counted towards `max_connect_errors`.
  @Test func aPasswordThatIsNotCachedIsDeclinedInGoodOrder() {
    let packets = [
      Self.greeting(plugin: "caching_sha2_password"), Self.packet([1, 4], 2), Self.error(1045, "#28000Access denied", sequence: 4),
    ]
    let steps = steps(withPassword, hearing: packets)
    #expect(steps.dropLast().last == .send(Self.packet([0], 3)))
    guard case .fail(let failure)? = steps.last else {
      Issue.record("no failure")
      return
    }
    #expect(failure.kind == .authentication && failure.detail.contains("not cached"))
  }

  @Test func aPasswordThatIsNotCachedIsSentOverAPrivateLink() {
    let packets = [Self.greeting(plugin: "caching_sha2_password"), Self.packet([1, 4], 2), Self.ok]
    let steps = steps(withPassword, link: .local, hearing: packets)
    #expect(steps.suffix(2) == [.send(Self.packet(Array("secret ü".utf8) + [0], 3)), .pass])
  }

  @Test func theServerChoosesAnotherMethod() {
    let change = Self.packet([0xfe] + Array("caching_sha2_password".utf8) + [0] + Self.nonce + [0], 2)
    #expect(steps(withPassword, hearing: [Self.greeting(), change, Self.ok]).suffix(2) == [.send(Self.packet(cached, 3)), .pass])
    let back = Self.packet([0xfe] + Array("mysql_native_password".utf8) + [0] + Self.nonce + [0], 2)
    let other = Self.greeting(plugin: "client_ed25519")
    #expect(steps(withPassword, hearing: [other, back, Self.ok]).suffix(2) == [.send(Self.packet(native, 3)), .pass])
  }

  @Test(arguments: ["client_ed25519", "mysql_clear_password"]) func methodsThatAreDeclined(plugin: String) {
    let change = Self.packet([0xfe] + Array(plugin.utf8) + [0] + Self.nonce + [0], 2)
    let steps = steps(withPassword, hearing: [Self.greeting(), change, Self.error(1045, "#28000Access denied", sequence: 4)])
    #expect(steps.dropLast().last == .send(Self.packet([0], 3)))
    guard case .fail(let failure)? = steps.last else {
      Issue.record("no failure")
      return
    }
    #expect(failure.kind == .authentication && !failure.detail.contains("Access denied"))
  }

  @Test func withoutAUserARefusalIsAPass() {
    let login = ConversationStep.send(Self.login("leba", [], plugin: "mysql_native_password"))
    for answer in [Self.error(1045, "#28000Access denied for user"), Self.error(4151, "#HY000Account locked"), Self.ok] {
      #expect(steps(MySQLCheck(), hearing: [Self.greeting(), answer]) == [login, .passAndLeave])
    }
  }

  @Test(
    arguments: [
      (1040, "#08004Too many connections", "bad_response: error 1040 (08004): Too many connections"),
      (1129, "Host is blocked", "bad_response: error 1129: Host is blocked"),
      (1130, "Host is not allowed", "authentication: error 1130: Host is not allowed"),
    ] as [(UInt16, String, String)]) func anErrorInsteadOfAGreeting(code: UInt16, text: String, expected: String)
  {
    for check in [MySQLCheck(), withPassword] {
      guard case .fail(let failure)? = steps(check, hearing: [Self.error(code, text, sequence: 0)]).last else {
        Issue.record("no failure")
        return
      }
      #expect(failure.description == expected)
    }
  }

  @Test func theSessionIsAskedAgainAndLeftInGoodOrder() {
    var talk = MySQLConversation(withPassword, link: .openWithoutTLS)
    _ = talk.connected()
    #expect(talk.farewell == nil)
    for bytes in [Self.greeting(), Self.ok] { _ = talk.received(ByteBuffer(bytes: bytes).readableBytesView) }
    for _ in 0..<3 {
      #expect(talk.ask() == [.send(Self.ping)])
      #expect(talk.received(ByteBuffer(bytes: Self.packet([0, 0, 0, 2, 0, 0, 0], 1)).readableBytesView) == [.pass])
    }
    #expect(talk.farewell == Self.quit)
    let killed = Self.error(1053, "#08S01Server shutdown in progress", sequence: 0)
    #expect(
      talk.received(ByteBuffer(bytes: killed).readableBytesView)
        == [.fail(ProbeFailure(.closed, "error 1053 (08S01): Server shutdown in progress"))])
    let idle = Self.error(4031, "#HY000The client was disconnected by the server because of inactivity", sequence: 0)
    #expect(talk.received(ByteBuffer(bytes: idle).readableBytesView) == [.idleTooLong])
  }

  @Test func whereTheServerOffersTLSNothingIsSaidBeforeIt() {
    var talk = MySQLConversation(withPassword, link: .open)
    _ = talk.connected()
    let greeting = Self.greeting(plugin: "caching_sha2_password")
    #expect(
      talk.received(ByteBuffer(bytes: greeting).readableBytesView)
        == [.send(Self.packet(Self.opening(isEncrypted: true), 1)), .startTLS(isOptional: true)])
    #expect(talk.waitingFor == "TLS handshake" && talk.farewell == nil)
    #expect(talk.secured() == [.send(Self.login("app", cached, plugin: "caching_sha2_password", isEncrypted: true))])
    // Not cached: the password itself.
    #expect(
      talk.received(ByteBuffer(bytes: Self.packet([1, 4], 3)).readableBytesView)
        == [.send(Self.packet(Array("secret ü".utf8) + [0], 4))])
    #expect(talk.received(ByteBuffer(bytes: Self.packet([0, 0, 0, 2, 0, 0, 0], 5)).readableBytesView) == [.pass])
  }

  @Test(arguments: [Self.ok, [1]]) func bytesBetweenTheGreetingAndTLSAreNotBelieved(extra: [UInt8]) {
    let expected = ConversationStep.fail(
      ProbeFailure(.protocolError, "the server spoke in the clear after TLS was asked for"))
    #expect(steps(withPassword, link: .open, hearing: [Self.greeting() + extra]) == [expected])
    #expect(steps(withPassword, link: .open, hearing: [Self.greeting(), extra]).last == expected)
  }

  @Test func whoNeedsNoTLSGetsNone() {
    let encrypts: (MySQLCheck, MySQLConversation.Link, Bool) -> Bool = { check, link, offers in
      self.steps(check, link: link, hearing: [Self.greeting(offersTLS: offers)]).contains {
        if case .startTLS = $0 { true } else { false }
      }
    }
    func check(_ tls: TLSMode) -> MySQLCheck { MySQLCheck(user: "app", password: Secret("x"), tls: tls) }
    #expect(encrypts(check(.prefer), .open, true) && encrypts(check(.require), .open, true))
    #expect(encrypts(MySQLCheck(tls: .require), .open, true))
    #expect(!encrypts(MySQLCheck(), .open, true))
    #expect(!encrypts(check(.disable), .open, true) && !encrypts(check(.prefer), .open, false))
    for link in [MySQLConversation.Link.local, .openWithoutTLS] { #expect(!encrypts(check(.require), link, true)) }
  }

  /// Nobody's name goes over the line, and the server's refusal ends it in good order.
  @Test func aServerWithoutTheTLSThatIsRequiredIsLeftByARefusal() {
    let check = MySQLCheck(user: "app", password: Secret("x"), tls: .require)
    for answer in [Self.error(1045, "#28000Access denied for user"), Self.ok] {
      #expect(
        steps(check, link: .open, hearing: [Self.greeting(offersTLS: false), answer]) == [
          .send(Self.login("leba", [], plugin: "mysql_native_password")),
          .fail(ProbeFailure(.authentication, "the server does not offer TLS, which `tls: require` asks for")),
        ])
    }
  }

  /// Cut anywhere and continued with anything: an answer or a wait, never a trap.
  @Test func garbageAtEveryPlace() {
    var random = SeededGenerator(seed: 4)
    let good = [Self.greeting(plugin: "caching_sha2_password"), Self.packet([1, 3], 2), Self.ok]
    for _ in 0..<3000 {
      var bytes = good.flatMap { $0 }
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let cut = Int.random(in: 0...bytes.count, using: &random)
      for link in [MySQLConversation.Link.open, .openWithoutTLS] {
        _ = steps(withPassword, link: link, hearing: [Array(bytes[..<cut]), Array(bytes[cut...])])
      }
    }
    for length in 0..<Self.greeting().count - 4 {
      _ = steps(withPassword, hearing: [Self.packet(Array(Self.greeting()[4..<(4 + length)]), 0)])
    }
  }

  @Test func whatIsNotMySQL() {
    for bytes in [
      Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), Self.greeting(protocolVersion: 9), Self.packet([], 0),
      Self.packet([10, 53], 0),
    ] {
      guard case .fail(let failure)? = steps(withPassword, hearing: [bytes]).last else {
        Issue.record("no failure: \(bytes)")
        continue
      }
      #expect(failure.kind == .protocolError)
    }
  }
}
