import PostgresWire
import Testing

@Suite struct FrontendMessageTests {
  @Test func startupMessage() {
    let message = FrontendMessage.startup([.init("user", "leba"), .init("database", "db")])
    #expect(hex(message.encoded) == "0000001f" + "00030000" + hex(Array("user\0leba\0database\0db\0\0".utf8)))
  }

  @Test func sslRequest() {
    #expect(hex(FrontendMessage.sslRequest.encoded) == "0000000804d2162f")
  }

  @Test func shortMessages() {
    #expect(FrontendMessage.terminate.encoded == Array("X\0\0\0\u{4}".utf8))
    #expect(FrontendMessage.query("SELECT 1").encoded == Array("Q\0\0\0\u{d}SELECT 1\0".utf8))
    #expect(FrontendMessage.password(Array("md5x".utf8)).encoded == Array("p\0\0\0\u{9}md5x\0".utf8))
    #expect(FrontendMessage.saslResponse(Array("c=biws".utf8)).encoded == Array("p\0\0\0\u{a}c=biws".utf8))
    #expect(
      FrontendMessage.saslInitialResponse(mechanism: "SCRAM-SHA-256", data: Array("n,,".utf8)).encoded
        == Array("p\0\0\0\u{19}SCRAM-SHA-256\0\0\0\0\u{3}n,,".utf8))
  }

  /// Otherwise a user named "a\0options\0-c x=y" would set an option of its own.
  @Test func zeroBytesCannotBeginAnotherParameter() {
    let sneaky = FrontendMessage.startup([.init("user", "a\0options\0-c x=y"), .init("database", "db")])
    #expect(sneaky.encoded == FrontendMessage.startup([.init("user", "a"), .init("database", "db")]).encoded)
    #expect(FrontendMessage.query("SELECT 1\0; DROP").encoded == FrontendMessage.query("SELECT 1").encoded)
  }
}
