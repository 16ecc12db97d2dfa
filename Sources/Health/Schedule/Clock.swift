import Model
import NIOCore

// The one place where this target reads a clock: NIO's, which is the monotonic one, so that its timers and our instants agree.

extension Instant {
  static var now: Instant { Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

  var deadline: NIODeadline { .uptimeNanoseconds(UInt64(clamping: nanoseconds)) }
}
