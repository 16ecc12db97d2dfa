import Model

/// How well a member works while its probes still pass: the score, 0 to 100, in fourteen bytes.
///
///     score = 100 × (passed among the last 20 probes) × (speed) − 2 × (recent errors of clients' connections)
///
/// *Speed* compares the latency of passed probes with the member's own past. A fast mean (a quarter of each new value) says how it is
/// now, a slow one (1/1024) how it usually is. Up to a tolerance, which is twice the usual and at least 5 ms more than it, the speed is 1;
/// beyond it, tolerance divided by the present latency. So a server that takes four times its usual latency gets half the score, and
/// microseconds more or less on loopback are nothing.
///
/// One slow probe is nothing either: a value counts as twice the present mean or twice the tolerance at most, whichever is more, so
/// that only several in a row move the mean. The baseline is the plain mean of the first eight passes, before which nobody is slow,
/// and follows so slowly afterwards that it takes minutes until what is slow has become usual.
///
/// *Errors* are what the data path reports: broken and refused connections, 25 at most. With each passed probe a quarter of them,
/// at least one, is forgotten.
struct Performance: Hashable, Sendable {
  /// Of passed probes, in microseconds.
  private var fastLatency: Float = 0
  private var usualLatency: Float = 0
  /// The last results, newest in the lowest bit, 1 is a pass. The highest 1 only marks where they begin.
  private var history: UInt32 = 1
  private var errors: UInt8 = 0
  private var passesBeforeBaseline: UInt8 = Self.passesForBaseline

  private static let passesForBaseline: UInt8 = 8
  private static let probesRemembered = 20
  private static let smallestTolerance: Float = 5000
  private static let mostErrors: UInt8 = 25

  /// Nil before the first probe.
  var score: Int? {
    let known = 31 - history.leadingZeroBitCount
    if known == 0 { return nil }
    let passed = Float(history.nonzeroBitCount - 1) / Float(known)
    return max(0, Int((100 * passed * speed).rounded()) - 2 * Int(errors))
  }

  /// 0 to 1.
  private var speed: Float {
    passesBeforeBaseline > 0 || fastLatency <= tolerance ? 1 : tolerance / fastLatency
  }

  private var tolerance: Float { max(2 * usualLatency, usualLatency + Self.smallestTolerance) }

  mutating func probePassed(latency: Duration) {
    remember(1)
    errors -= min(errors, max(1, errors / 4))
    let latency = max(0, Float(latency.nanoseconds) / 1000)
    if passesBeforeBaseline > 0 {
      // The mean of the first eight. Until then the fast one follows it.
      let seen = Float(Self.passesForBaseline - passesBeforeBaseline)
      usualLatency = (usualLatency * seen + latency) / (seen + 1)
      fastLatency = usualLatency
      passesBeforeBaseline -= 1
    } else {
      let tolerance = tolerance
      usualLatency += (min(latency, 2 * tolerance) - usualLatency) / 1024
      fastLatency += (min(latency, 2 * max(fastLatency, tolerance)) - fastLatency) / 4
    }
  }

  mutating func probeFailed() { remember(0) }

  mutating func connectionFailed() { errors = min(errors + 1, Self.mostErrors) }

  private mutating func remember(_ bit: UInt32) {
    let marker = UInt32(1) << Self.probesRemembered
    let next = history << 1 | bit
    history = next < marker << 1 ? next : next & (marker - 1) | marker
  }
}
