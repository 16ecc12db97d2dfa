/// One direction of a relay, without I/O: bytes come in a buffer, go out of it, and the next receive waits until they are gone.
/// That is the whole back-pressure: a peer that does not read stops us from reading the other side, with at most one buffer held.
///
/// A flow that fills buffer after buffer has its bytes in pipes from then on, where they cost no copy, until little comes at a time again.
///
/// The end travels behind the last byte: it is noticed only by a receive, and a receive is asked for only when nothing is pending.
struct Flow: BitwiseCopyable {
  enum State: UInt8, BitwiseCopyable {
    /// Nothing was asked of the source yet.
    case idle
    /// A receive is outstanding; no buffer is held.
    case receiving
    /// The buffer holds bytes for the destination.
    case sending
    /// The source ended its stream.
    case ended
  }

  /// What to do next.
  enum Step: Equatable {
    case receive
    case receiveIntoPipe
    case send
    case passEndOn
  }

  /// In a row, before the first pipe. With two, answers of 256 KiB still gain; with one, every single large answer would try.
  static let largeReceivesBeforePipe: UInt8 = 2
  /// What counts as large. A sender that is itself a relay rarely has a full buffer ready each time.
  static let leastLarge = BufferPool.size / 2
  /// A pipe that brought less was not worth its more expensive system calls.
  static let leastFromPipe = 16 * 1024

  private(set) var state: State = .idle
  /// How many times in a row much came at once; counts no further than `largeReceivesBeforePipe`.
  private var largeReceives: UInt8 = 0
  private var buffer = Buffer(number: 0)
  private var sent: UInt32 = 0
  private var end: UInt32 = 0

  /// The bytes that wait for the destination, nil when none do.
  var pending: (buffer: Buffer, offset: Int, count: Int)? {
    state == .sending ? (buffer, Int(sent), Int(end &- sent)) : nil
  }

  mutating func start() -> Step {
    state = .receiving
    return .receive
  }

  mutating func received(_ buffer: Buffer, count: Int) -> Step {
    self.buffer = buffer
    sent = 0
    end = UInt32(truncatingIfNeeded: count)
    let isLarge = count >= (buffer.isPipe ? Self.leastFromPipe : Self.leastLarge)
    largeReceives = isLarge ? min(largeReceives &+ 1, Self.largeReceivesBeforePipe) : 0
    state = .sending
    return .send
  }

  /// When the step is to receive, the buffer is free to recycle: `recycled` names it.
  mutating func sent(_ count: Int) -> (step: Step, recycled: Buffer?) {
    sent = min(end, sent &+ UInt32(truncatingIfNeeded: count))
    guard sent == end else { return (.send, nil) }
    state = .receiving
    return (largeReceives < Self.largeReceivesBeforePipe ? .receive : .receiveIntoPipe, buffer)
  }

  mutating func sourceEnded() -> Step {
    state = .ended
    return .passEndOn
  }

  /// Forgets what is pending, for a session that will send no more.
  mutating func drop() -> Buffer? {
    guard state == .sending else { return nil }
    state = .idle
    return buffer
  }
}
