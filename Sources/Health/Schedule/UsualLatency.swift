import Model

/// How long the probes of a member usually take, in four bytes: the largest of the last few dozen, forgotten bit by bit.
///
/// A mean with its deviation would follow more closely, but a server that pauses at every tenth probe would be called late at every
/// tenth probe.
struct UsualLatency: Hashable, Sendable {
  /// Below this, nobody is late.
  static let leastPatience = Duration.milliseconds(5)

  /// Zero before the first pass.
  private var microseconds: UInt32 = 0

  mutating func record(_ latency: Duration) {
    let latest = UInt32(clamping: max(1, latency.nanoseconds / 1000))
    microseconds = max(latest, microseconds - microseconds / 16)
  }

  /// How long a probe may take before it is late; nil before the first pass.
  var patience: Duration? {
    microseconds == 0 ? nil : max(Self.leastPatience, .microseconds(2 * Int64(microseconds)))
  }
}
