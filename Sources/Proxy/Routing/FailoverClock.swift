import Model

/// The newest failover of a route, from the moment its last server was lost. Pure: answers with what is to be recorded.
struct FailoverClock {
  /// What its stale sessions are marked with: a session of an earlier failover is none of this one's.
  let number: UInt32
  let startedAt: Instant
  private var awaitsConnection = true
  private var staleSessions: Int

  init(number: UInt32, startedAt: Instant, staleSessions: Int) {
    self.number = number
    self.startedAt = startedAt
    self.staleSessions = staleSessions
  }

  /// A client has a backend. Not nil for the first.
  mutating func connected(now: Instant) -> Duration? {
    guard awaitsConnection else { return nil }
    awaitsConnection = false
    return now - startedAt
  }

  /// A session on one of those who served before has ended. Not nil for the last.
  mutating func staleSessionEnded(now: Instant) -> Duration? {
    staleSessions -= 1
    return staleSessions == 0 ? now - startedAt : nil
  }
}
