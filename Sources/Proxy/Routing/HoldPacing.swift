import Model

/// When a route's held connections may try again, and how many at a time. Pure.
///
/// A backend that has just come back, or has just been promoted, has cold caches and a listen backlog of a few hundred: a thousand
/// connections in one instant would be its next outage. So admission starts with a batch small enough for any server and large enough
/// that an ordinary application's pool never notices a pace, and doubles while it goes well: 1 000 waiters are in after 60 ms.
///
/// When every candidate failed, the next look is a short pause away: often enough that a restarted backend is found in a
/// quarter of a second, seldom enough to leave a struggling one alone.
struct HoldPacing: Equatable {
  static let firstBatch = 16
  static let largestBatch = 4096
  static let step = Duration.milliseconds(10)
  static let firstPause = Duration.milliseconds(50)
  static let longestPause = Duration.milliseconds(250)

  /// Why a connection is held although there are candidates.
  enum Cause {
    /// They all failed it.
    case allFailed
    /// They are full, or have just lost their place: there is nothing to try before one has room.
    case noPlace
    /// Others wait before it.
    case behindOthers
  }

  /// When the next batch may go, nil while nothing can be expected to have changed.
  private(set) var nextBatchAt: Instant?
  private var batch = firstBatch
  private var pause = firstPause
  private var failedSinceBatch = false
  private var waitsForPlace = false

  /// A member serves that did not before.
  mutating func candidateAppeared(now: Instant) {
    batch = Self.firstBatch
    pause = Self.firstPause
    failedSinceBatch = false
    waitsForPlace = false
    nextBatchAt = now
  }

  /// A member that was full is so no longer. Whoever waits for something else goes on waiting for that.
  mutating func placeFreed(now: Instant) {
    guard waitsForPlace else { return }
    waitsForPlace = false
    nextBatchAt = now
  }

  mutating func mustWait(_ cause: Cause, now: Instant) {
    switch cause {
    case .allFailed:
      batch = Self.firstBatch
      waitsForPlace = false
      guard !failedSinceBatch else { return }
      failedSinceBatch = true
      nextBatchAt = now + pause
      pause = min(pause * 2, Self.longestPause)
    case .noPlace:
      batch = Self.firstBatch
      waitsForPlace = true
      nextBatchAt = nil
    case .behindOthers:
      if nextBatchAt == nil, !waitsForPlace { nextBatchAt = now + Self.step }
    }
  }

  mutating func connectSucceeded(now: Instant) {
    pause = Self.firstPause
    failedSinceBatch = false
    if let next = nextBatchAt { nextBatchAt = min(next, now + Self.step) }
  }

  /// How many may go now. The next batch is scheduled a step later; if this one fails, `mustWait` puts it off.
  mutating func takeBatch(now: Instant) -> Int {
    defer {
      batch = min(batch * 2, Self.largestBatch)
      failedSinceBatch = false
      nextBatchAt = now + Self.step
    }
    return batch
  }

  /// Nobody is held any more, or nobody could serve them.
  mutating func rest() {
    nextBatchAt = nil
    failedSinceBatch = false
    waitsForPlace = false
    batch = Self.firstBatch
  }
}
