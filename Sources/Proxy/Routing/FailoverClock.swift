import Model

/// The newest failover of a route, from the moment its last server was lost. Pure: answers with what is to be recorded.
struct FailoverClock {
  /// What its stale sessions are marked with: a session of an earlier failover is none of this one's.
  let number: UInt32
  let startedAt: Instant
  private var awaitsConnection = true
  private var staleSessions = 0
  /// Sessions are found one by one, and some end before all are.
  private var mayFindMore = true
  private var lastEndedAt: Instant?

  init(number: UInt32, startedAt: Instant) {
    self.number = number
    self.startedAt = startedAt
  }

  /// A client has a backend. Not nil for the first.
  mutating func connected(now: Instant) -> Duration? {
    guard awaitsConnection else { return nil }
    awaitsConnection = false
    return now - startedAt
  }

  mutating func staleSessionFound() { staleSessions += 1 }

  /// Not nil where all of them have ended already.
  mutating func allStaleSessionsFound() -> Duration? {
    mayFindMore = false
    return staleSessions == 0 ? lastEndedAt.map { $0 - startedAt } : nil
  }

  /// A session on one of those who served before has ended. Not nil for the last.
  mutating func staleSessionEnded(now: Instant) -> Duration? {
    staleSessions -= 1
    lastEndedAt = now
    return staleSessions == 0 && !mayFindMore ? now - startedAt : nil
  }
}
