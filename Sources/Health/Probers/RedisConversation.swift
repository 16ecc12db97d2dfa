import Model
import NIOCore

/// AUTH where there is a password, and PING, in the Redis protocol (RESP 2). The session is kept, and asked again with PING.
///
/// Nothing is asked about the role: `ROLE` needs a right that PING does not need, and routing does not use it.
struct RedisConversation: Conversation {
  private enum Awaited {
    case authentication
    case pong
    /// Nothing is being asked.
    case nothing
  }

  /// The longest line that is believed to be a reply. `-DENIED` of the protected mode, the longest there is, has some 1 100 bytes.
  private static let maximumLine = 4096
  private static let ping = command(["PING"])

  private let check: RedisCheck
  private var awaited = Awaited.nothing
  private var line: [UInt8] = []

  let farewell: [UInt8]? = nil

  init(_ check: RedisCheck) { self.check = check }

  var waitingFor: String {
    switch awaited {
    case .authentication: "answer to AUTH"
    case .pong: "answer to PING"
    case .nothing: "connection"
    }
  }

  mutating func connected() -> [ConversationStep] {
    guard let password = check.password?.revealed else { return ask() }
    awaited = .authentication
    return [.send(Self.command(["AUTH"] + (check.user.map { [$0] } ?? []) + [password]))]
  }

  mutating func ask() -> [ConversationStep] {
    awaited = .pong
    return [.send(Self.ping)]
  }

  mutating func received(_ bytes: ByteBufferView) -> [ConversationStep] {
    var steps: [ConversationStep] = []
    for byte in bytes {
      guard byte == UInt8(ascii: "\n") else {
        guard line.count < Self.maximumLine else { return steps + [.fail(notRedis)] }
        line.append(byte)
        continue
      }
      guard line.popLast() == UInt8(ascii: "\r") else { return steps + [.fail(notRedis)] }
      steps += reply()
      if case .fail? = steps.last { return steps }
      line = []
    }
    return steps
  }

  /// One whole reply is in `line`.
  private mutating func reply() -> [ConversationStep] {
    let text = line.dropFirst()
    switch (line.first, awaited) {
    // Also before anything is asked: too many clients, or the protected mode.
    case (UInt8(ascii: "-"), _):
      return [.fail(failure(of: String(decoding: text, as: UTF8.self)))]
    case (UInt8(ascii: "+"), .authentication) where text.elementsEqual("OK".utf8):
      return ask()
    case (UInt8(ascii: "+"), .pong) where text.elementsEqual("PONG".utf8):
      awaited = .nothing
      return [.pass]
    case (_, .authentication), (_, .pong), (_, .nothing):
      return [.fail(notRedis)]
    }
  }

  private var notRedis: ProbeFailure {
    ProbeFailure(
      .protocolError, "not a Redis reply: \(printable(withoutPassword(String(decoding: line.prefix(64), as: UTF8.self))))")
  }

  private func failure(of error: String) -> ProbeFailure {
    let code = error.prefix { $0 != " " }
    let refusesUs =
      switch code {
      // DENIED: the protected mode, which lets nobody in but this host's own clients.
      case "NOAUTH", "WRONGPASS", "NOPERM", "DENIED": true
      case "ERR":
        // What AUTH says where no password is set, or (before Redis 6) where it is another. A full server says ERR as well.
        awaited == .authentication && !error.contains("max number of clients")
      default: false  // LOADING, MASTERDOWN, BUSY, MISCONF, and whatever comes
      }
    return ProbeFailure(refusesUs ? .authentication : .badResponse, printable(withoutPassword(error)))
  }

  /// A server that does not know AUTH repeats its arguments.
  private func withoutPassword(_ text: String) -> String {
    guard let password = check.password, !password.revealed.isEmpty else { return text }
    return text.replacing(password.revealed, with: password.description)
  }

  private static func command(_ words: [String]) -> [UInt8] {
    var bytes = Array("*\(words.count)\r\n".utf8)
    for word in words { bytes += Array("$\(word.utf8.count)\r\n\(word)\r\n".utf8) }
    return bytes
  }
}
