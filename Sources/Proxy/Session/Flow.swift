/// One direction of a relay, without I/O: bytes come in a buffer, go out of it, and the next receive waits until they are gone.
/// That is the whole back-pressure: a peer that does not read stops us from reading the other side, with at most one buffer held.
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
    case send
    case passEndOn
  }

  private(set) var state: State = .idle
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
    state = .sending
    return .send
  }

  /// When the step is `receive`, the buffer is free to recycle: `recycled` names it.
  mutating func sent(_ count: Int) -> (step: Step, recycled: Buffer?) {
    sent = min(end, sent &+ UInt32(truncatingIfNeeded: count))
    guard sent == end else { return (.send, nil) }
    state = .receiving
    return (.receive, buffer)
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
