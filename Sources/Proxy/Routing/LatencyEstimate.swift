import Glibc
import Model

/// How slow a backend is, as peak EWMA sees it (after Finagle's `PeakEwma`): a slower sample counts at once, a faster one only as time
/// passes, and without samples the estimate fades, so that a backend which was slow is tried again.
struct LatencyEstimate: BitwiseCopyable {
  /// After this long without a sample a third of the estimate is left. Ten requests a second or ten thousand: it forgets at one speed.
  static let decay = Duration.seconds(10)
  /// What a failed connect counts as, and the first session of a backend that has not answered yet.
  static let penalty = Duration.seconds(1)
  /// Below this, differences say nothing, and only the number of sessions counts: the loop reads its clock once a pass.
  private static let finest = 1000.0

  /// In nanoseconds, at `sampledAt`.
  private var peak = 0.0
  /// The earliest instant: it never answered.
  private var sampledAt = Instant(nanoseconds: .min)

  mutating func observe(_ latency: Duration, now: Instant) {
    let sample = Double(max(0, latency.nanoseconds))
    if sampledAt.nanoseconds == .min || sample >= peak {
      peak = sample
    } else {
      let remaining = remaining(now)
      peak = peak * remaining + sample * (1 - remaining)
    }
    sampledAt = now
  }

  /// What one more session costs there. A backend that never answered costs nothing until somebody is on the way to it, and then much.
  func cost(sessions: Int, weight: Int32, now: Instant) -> Double {
    let latency: Double
    if sampledAt.nanoseconds == .min {
      latency = sessions == 0 ? 0 : Double(Self.penalty.nanoseconds)
    } else {
      latency = max(Self.finest, peak * remaining(now))
    }
    return latency * Double(sessions + 1) / Double(weight)
  }

  private func remaining(_ now: Instant) -> Double {
    exp(-Double(max(0, now.nanoseconds &- sampledAt.nanoseconds)) / Double(Self.decay.nanoseconds))
  }
}
