import Model
import NIOCore

// The one place where this target reads a clock: NIO's, which is the monotonic one, so that its timers and our instants agree.

extension Instant {
  static var now: Instant { Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

  var deadline: NIODeadline { .uptimeNanoseconds(UInt64(clamping: nanoseconds)) }
}

/// A small seeded generator: the same seed gives the same schedule. Not for secrets.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
