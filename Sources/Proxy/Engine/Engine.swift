import Glibc
import Model

/// Names a socket or a listener for the engine: a slot of the caller's choosing, and how often that slot has been used.
/// The generation makes late news of a closed socket recognisable, whatever has moved into its slot since.
struct Token: Equatable, BitwiseCopyable {
  /// Sockets count from zero, listeners from here.
  private static let firstListener: UInt32 = 0x8000_0000

  var slot: UInt32
  var generation: UInt32

  init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }

  init(listener number: Int32, generation: UInt32) {
    self.init(slot: Self.firstListener + UInt32(bitPattern: number), generation: generation)
  }

  init(packed: UInt64) { self.init(slot: UInt32(truncatingIfNeeded: packed), generation: UInt32(truncatingIfNeeded: packed >> 32)) }

  var packed: UInt64 { UInt64(generation) << 32 | UInt64(slot) }
  var isListener: Bool { slot >= Self.firstListener }
  var listenerNumber: Int32 { Int32(bitPattern: slot & ~Self.firstListener) }
}

/// A fact about an operation that was asked for, or about a socket that nobody was looking at.
enum Completion: Equatable, BitwiseCopyable {
  case accepted(Token, descriptor: Int32)
  /// Accepting goes on when `resumeAccepting` is called, not before: the error may be one that lasts (EMFILE).
  case acceptFailed(Token, errno: Int32)
  /// Everything that waited in the backlog was accepted and the listener is closed.
  case acceptingEnded(Token)
  case connected(Token)
  case connectFailed(Token, errno: Int32)
  /// At least one byte waits to be received.
  case bytesWaiting(Token)
  case received(Token, Buffer, count: Int)
  /// The peer ended its stream and everything before the end was received. Also the answer to a peek.
  case ended(Token)
  /// The answer to a peek too.
  case receiveFailed(Token, errno: Int32)
  /// Perhaps fewer bytes than were offered; the rest is offered again by the caller.
  case sent(Token, count: Int)
  case sendFailed(Token, errno: Int32)
  /// Unasked, while neither a receive nor a peek is outstanding: the peer ended its stream (bytes may still wait before the
  /// end) or the connection broke. This is how a session that waits for something else learns that its client has left.
  case hungUp(Token, broken: Bool)
}

/// The kernel as sessions see it: operations that are asked for now, completions that arrive later. Never both at once, so no
/// session code re-enters itself, and an io_uring engine fits behind the same calls as the epoll engine does.
///
/// Contract:
/// - One receive *or* peek, and one send *or* connect, is outstanding on a socket at a time.
/// - A receive delivers into a buffer that the engine chose, which then belongs to the caller until `recycle`. While no buffer is
///   free the receive stays outstanding.
/// - A send borrows the caller's bytes until its completion. After `close` no completion names the token again, and the caller may
///   recycle at once: an engine whose kernel still reads the bytes delays the reuse itself.
/// - A pipe is a buffer whose bytes never leave the kernel. Everything above holds for it: it has bytes from its `received` on, its
///   `sent`s take them out in order, `recycle` ends its use, and bytes that it still holds then are never seen again.
/// - Descriptors given to the engine are closed by the engine.
///
/// Statically dispatched: the worker is generic over its engine, which is a value inside it.
protocol Engine: ~Copyable {
  static var name: String { get }

  /// `wake` is an eventfd: any thread may end a `wait` by signalling it.
  init(sockets: Int, buffers: Int, pipes: Int, wake: Int32) throws(EngineError)

  mutating func listen(_ descriptor: Int32, as token: Token) throws(EngineError)
  mutating func pauseAccepting(_ token: Token)
  mutating func resumeAccepting(_ token: Token)
  /// Accepts what already waits in the backlog (a connection the kernel completed is a promise), then closes the listener.
  mutating func finishAccepting(_ token: Token)
  mutating func closeListener(_ token: Token)

  /// Takes over a connected socket. False when the kernel has no room for it, and then the descriptor is closed.
  mutating func adopt(_ descriptor: Int32, as token: Token) -> Bool
  mutating func connect(_ descriptor: Int32, as token: Token, to address: KernelAddress)
  mutating func peek(_ token: Token)
  mutating func receive(_ token: Token)
  /// A receive whose `received` may name a pipe, with more bytes than other buffers hold. With no pipe to be had, or on a socket that knows
  /// no such way, it is a plain receive; nothing is to be concluded from which it was.
  mutating func receiveIntoPipe(_ token: Token)
  mutating func send(_ token: Token, _ bytes: UnsafeRawPointer, count: Int)
  /// Sends what the pipe holds.
  mutating func send(_ token: Token, pipe: Buffer)
  /// Withdraws an outstanding receive or peek.
  mutating func cancelReceive(_ token: Token)
  mutating func shutdownSending(_ token: Token)
  mutating func close(_ token: Token, reset: Bool)

  /// Not of a pipe.
  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer
  mutating func recycle(_ buffer: Buffer)

  /// Blocks until something happens or `deadline` passes (nil: no deadline). Returns the time, read once.
  mutating func wait(until deadline: Instant?, since now: Instant) -> Instant
  /// The next completion of this pass. A pass gives every socket that was ready when `wait` returned one turn, or a few more if there were
  /// only a few, so that a busy pair cannot keep the loop from its timers and its mailbox.
  mutating func next() -> Completion?
  /// Whether `wake` was signalled since this was last asked, as far as the pass's completions told: to be asked after the last of them.
  mutating func takeWake() -> Bool
}

/// Why an engine could not start or take a listener.
struct EngineError: Error, Equatable, CustomStringConvertible {
  let operation: String
  let errno: Int32

  var description: String { "\(operation): \(errorText(errno))" }
}

/// `strerror` in the thread-safe form.
func errorText(_ errno: Int32) -> String {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
    guard let base = text.baseAddress, strerror_r(errno, base, text.count) == 0 else { return "error \(errno)" }
    return String(cString: base)
  }
}
