import Model
import NIOCore

/// What is said to one kind of server, without I/O: bytes in, steps out. Nothing the server sends may trap or make it grow.
protocol Conversation {
  /// What a probe whose time is over was waiting for.
  var waitingFor: String { get }
  /// The connection is there; the client speaks first, or waits for the server's greeting.
  mutating func connected() -> [ConversationStep]
  mutating func received(_ bytes: ByteBufferView) -> [ConversationStep]
  /// The TLS that was asked for has begun.
  mutating func secured() -> [ConversationStep]
  /// The next probe of a session that is kept.
  mutating func ask() -> [ConversationStep]
  /// The last words of a session that is ended in good order.
  var farewell: [UInt8]? { get }
}

extension Conversation {
  mutating func secured() -> [ConversationStep] { [] }
}

enum ConversationStep: Hashable, Sendable {
  case send([UInt8])
  /// What is said from here on is encrypted.
  ///
  /// - Parameter isOptional: where the handshake fails, the same is said in the clear on a new connection.
  case startTLS(isOptional: Bool)
  /// The probe passes, and the session is kept for the next.
  case pass
  /// The probe passes, and there is nothing to keep.
  case passAndLeave
  /// The session is of no use any more.
  case fail(ProbeFailure)
  /// The server ends a session that nobody used for long. Says nothing about its health.
  case idleTooLong
}
