import Model

/// How late this host's own timers fire. Under CPU quotas a stall of 100 ms is normal, and what happens meanwhile is nobody else's
/// fault: probes in flight get the time back, up to as much again as they have.
package struct HostLateness: Hashable, Sendable {
  /// Timers are never on time to the microsecond.
  package static let tolerated = Duration.milliseconds(5)

  /// Timers that fired later than that.
  package private(set) var stalls = 0
  /// How late these were, together.
  package private(set) var total = Duration.zero
  package private(set) var longest = Duration.zero
  /// Probes that were given more time.
  package private(set) var extensions = 0

  package init() {}

  /// A timer fired.
  mutating func woke(at now: Instant, due: Instant) {
    let late = now - due
    guard late > Self.tolerated else { return }
    stalls += 1
    total += late
    longest = max(longest, late)
  }

  /// When a probe whose timeout has passed ends, or nil: now. `before`: the total when the probe began.
  mutating func extendedDeadline(start: Instant, timeout: Duration, before: Duration, now: Instant) -> Instant? {
    let deadline = start + timeout + min(timeout, total - before)
    guard deadline > now else { return nil }
    extensions += 1
    return deadline
  }
}
