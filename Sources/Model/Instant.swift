/// A point on the monotonic clock, in nanoseconds since an origin that only the process knows.
///
/// Nothing in the engine reads a clock: callers pass `now`. Wall-clock time is added at the edge, where people read it.
package struct Instant: Hashable, Comparable, Sendable, BitwiseCopyable {
  package let nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static let zero = Instant(nanoseconds: 0)

  package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
  package static func + (a: Instant, b: Duration) -> Instant {
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
    return Instant(nanoseconds: overflow ? (b < .zero ? .min : .max) : sum)
  }
  package static func - (a: Instant, b: Duration) -> Instant { a + (.zero - b) }
  package static func - (a: Instant, b: Instant) -> Duration { .nanoseconds(a.nanoseconds &- b.nanoseconds) }
}

extension Duration {
  /// Whole nanoseconds, saturating at the ends of `Int64` (292 years).
  ///
  /// Not by way of `components`, which traps where the seconds do not fit into 64 bits.
  package var nanoseconds: Int64 { Int64(clamping: attoseconds / 1_000_000_000) }

  package var seconds: Double { Double(nanoseconds) / 1e9 }

  /// The way the configuration writes durations: `250ms`, `5s`, `1m30s`.
  package var text: String {
    let total = nanoseconds
    if total < 0 { return "-" + (Duration.zero - self).text }
    if total == 0 { return "0s" }
    if total < 1_000_000 { return "\(total / 1000)us" }
    let milliseconds = total / 1_000_000
    let units: [(Int64, String)] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")]
    var rest = milliseconds
    var text = ""
    for (size, name) in units where rest >= size {
      text += "\(rest / size)\(name)"
      rest %= size
    }
    return text
  }
}
