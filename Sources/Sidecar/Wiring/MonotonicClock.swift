import CLinux
import Model

extension Instant {
  static var monotonicNow: Instant { Instant(nanoseconds: leba_monotonic_ns()) }
}

extension WallTime {
  /// What the clock on the wall showed at a moment that has passed, had nobody set it since; rounded down to the millisecond.
  static func of(_ instant: Instant) -> WallTime {
    WallTime(milliseconds: (leba_realtime_ns() - (Instant.monotonicNow - instant).nanoseconds) / 1_000_000)
  }
}
