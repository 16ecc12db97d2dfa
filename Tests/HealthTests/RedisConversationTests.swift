import Model
import NIOCore
import Testing

@testable import Health

@Suite struct RedisConversationTests {
  private let ping = Array("*1\r\n$4\r\nPING\r\n".utf8)

  /// What a conversation does that hears `text`, in one piece or byte by byte.
  private func steps(_ check: RedisCheck, hearing text: String, inPieces: Bool = false) -> [ConversationStep] {
    var talk = RedisConversation(check)
    var steps = talk.connected()
    let pieces = inPieces ? text.utf8.map { [$0] } : [Array(text.utf8)]
    for piece in pieces { steps += talk.received(ByteBuffer(bytes: piece).readableBytesView) }
    return steps
  }

  @Test(arguments: [false, true]) func withoutPassword(inPieces: Bool) {
    #expect(steps(RedisCheck(), hearing: "+PONG\r\n", inPieces: inPieces) == [.send(ping), .pass])
  }

  @Test(arguments: [false, true]) func withPassword(inPieces: Bool) {
    let check = RedisCheck(user: "prober", password: Secret("pass\r\nword"))
    let authentication = "*3\r\n$4\r\nAUTH\r\n$6\r\nprober\r\n$10\r\npass\r\nword\r\n"
    #expect(
      steps(check, hearing: "+OK\r\n+PONG\r\n", inPieces: inPieces) == [.send(Array(authentication.utf8)), .send(ping), .pass])
  }

  @Test func theSessionIsAskedAgain() {
    var talk = RedisConversation(RedisCheck())
    for _ in 0..<3 {
      #expect(talk.ask() == [.send(ping)])
      #expect(talk.waitingFor == "answer to PING")
      #expect(talk.received(ByteBuffer(string: "+PONG\r\n").readableBytesView) == [.pass])
    }
  }

  @Test(arguments: [
    ("-NOAUTH Authentication required.", ProbeFailure.Kind.authentication),
    ("-WRONGPASS invalid username-password pair", .authentication),
    ("-NOPERM this user has no permissions to run the 'ping' command", .authentication),
    ("-DENIED Redis is running in protected mode", .authentication),
    ("-LOADING Redis is loading the dataset in memory", .badResponse),
    ("-MASTERDOWN Link with MASTER is down", .badResponse), ("-BUSY Redis is busy running a script", .badResponse),
    ("-ERR max number of clients reached", .badResponse),
  ]) func errorsAreReportedAsWhatTheyAre(line: String, kind: ProbeFailure.Kind) {
    #expect(steps(RedisCheck(), hearing: line + "\r\n").last == .fail(ProbeFailure(kind, String(line.dropFirst()))))
  }

  @Test func aServerThatRepeatsThePasswordDoesNotShowIt() {
    let check = RedisCheck(password: Secret("hunter2"))
    let steps = steps(check, hearing: "-ERR unknown command `AUTH`, with args beginning with: `hunter2`, \r\n")
    #expect(
      steps.last == .fail(ProbeFailure(.authentication, "ERR unknown command `AUTH`, with args beginning with: `<secret>`, ")))
    let echo = self.steps(check, hearing: "$hunter2\r\n")
    #expect(echo.last == .fail(ProbeFailure(.protocolError, "not a Redis reply: $<secret>")))
  }

  @Test(arguments: [
    "HTTP/1.1 400 Bad Request\r\n", "+PONG\n", "\r\n", "\n", "$4\r\nPONG\r\n", "+pong\r\n", String(repeating: "+", count: 5000),
  ])
  func whatIsNotRedis(text: String) {
    guard case .fail(let failure)? = steps(RedisCheck(), hearing: text).last else {
      Issue.record("no failure")
      return
    }
    #expect(failure.kind == .protocolError)
  }

  @Test func unaskedWordsEndTheSession() {
    #expect(
      steps(RedisCheck(), hearing: "+PONG\r\n+PONG\r\n").suffix(2) == [
        .pass, .fail(ProbeFailure(.protocolError, "not a Redis reply: +PONG")),
      ])
  }
}
