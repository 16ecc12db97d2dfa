import CLinux
import Model

extension Instant {
  static var monotonicNow: Instant { Instant(nanoseconds: leba_monotonic_ns()) }
}
