import Model

/// For a moment, the member of a group that has just broken a session. Pure.
///
/// It may be dying: the kernel ends a dead process's sessions one after the other and may come to the listening socket last, so that it takes
/// connections meanwhile. A request that is sent on one of them is lost, and may be the very one that a client repeats. So new connections are opened as
/// ever, which tells whether the port still answers, but nothing is said on them for about as long as the engine needs to find out. Until something
/// is said they can go elsewhere.
///
/// Most breaks mean nothing, and with a server that breaks sessions all day nobody is to wait all day: once a second at most.
struct Mistrust: Equatable {
  /// Probes follow within 2 ms of the first sign.
  static let length = Duration.milliseconds(8)
  private static let silence = Duration.milliseconds(1)
  private static let rest = Duration.seconds(1)

  private var backend = Int32.noSlot
  /// When it ends, whatever was found out.
  private(set) var end = Instant(nanoseconds: .min)
  private var nextBegin = Instant(nanoseconds: .min)

  /// Whether the end of a session is a sign of death. The end of one that has been silent for a while has a reason other than that the answer is
  /// complete; but after a pass over many sockets the end that came with an answer may only be found as late.
  static func isCalledFor(owesAnswer: Bool, silentFor silence: Duration, afterBusyPass: Bool) -> Bool {
    owesAnswer || (!afterBusyPass && silence >= Self.silence)
  }

  /// False where the last one is too short a time ago.
  mutating func begin(_ backend: Int32, lasting length: Duration, now: Instant) -> Bool {
    guard now >= nextBegin else { return false }
    self.backend = backend
    end = now + length
    nextBegin = end + Self.rest
    return true
  }

  func isOn(_ now: Instant) -> Bool { now < end }

  /// While it is on.
  func concerns(_ backend: Int32) -> Bool { backend == self.backend }
}
