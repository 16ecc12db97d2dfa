import Model

/// A token bucket for the queries of the whole process: a thousand names whose TTLs end together must not be a flood.
///
/// Only the start of a lookup waits. A retry within a running lookup is taken from the bucket but never held up; the debt
/// delays the next start instead.
struct QueryBudget: Sendable {
  /// For a process with few names; a tenth of a query comes on top for each name, so that ten thousand are asked for in twenty
  /// seconds and a thousand in ten.
  static let perSecond = 100

  private var rate: Int64
  private var interval: Int64 { 1_000_000_000 / rate }
  /// Nanoseconds of saved-up time; `interval` of them buy a query.
  private var saved: Int64
  private var updated: Instant

  init(perSecond rate: Int = perSecond, now: Instant) {
    self.rate = Int64(max(rate, 1))
    saved = 1_000_000_000
    updated = now
  }

  /// Sets the rate for so many names.
  mutating func resize(names: Int, now: Instant) {
    refill(now)
    rate = Int64(Self.perSecond + names / 10)
  }

  /// When `count` queries can be paid: not later than `now` if that is at once.
  mutating func available(_ count: Int, now: Instant) -> Instant {
    refill(now)
    return now + .nanoseconds(max(0, Int64(count) * interval - saved))
  }

  mutating func spend(_ count: Int, now: Instant) {
    refill(now)
    // The debt is bounded too: after a storm of retries the wait is a second at most.
    saved = max(saved - Int64(count) * interval, -interval * rate)
  }

  private mutating func refill(_ now: Instant) {
    guard now > updated else { return }
    // Two full buckets are more than any debt.
    let elapsed = min(now.nanoseconds - updated.nanoseconds, 2 * interval * rate)
    saved = min(saved + elapsed, interval * rate)
    updated = now
  }
}
