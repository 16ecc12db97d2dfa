import Model

/// When the engine itself changed a group's primary lately, and what follows from it: how far apart such changes must be now, and
/// whether there were too many.
///
/// **Flapping** is a change that comes before the one before it has proved good: within four times the interval that was in force.
/// Each such change doubles `minimum_interval`, up to 64 times. It comes back the way it grew: whenever the group has kept its primary
/// for four times the interval in force, the interval halves, down to the plain one. With 10 s, changes that come as soon as they may
/// are 10 s, 20 s, 40 s, … 640 s apart; a group that then rests is back at 10 s after an hour and a half.
///
/// All of it follows from the instants alone, so that a restart, which remembers these, goes on where the last run was.
struct AutomaticChanges: Hashable, Sendable {
  static let mostDoublings = 6
  /// Patience with a change, in intervals.
  static let probation = 4
  /// As many as it takes to reach the longest interval, and one to begin with.
  private static let kept = mostDoublings + 2
  /// Nobody needs to count further; a limit above this is none.
  static let mostCounted = 256

  /// Oldest first.
  private(set) var instants: [Instant] = []

  init() {}

  /// What an earlier run left behind. It is only what somebody wrote into a file: in any order, and perhaps from the future.
  init(restored: [Instant], now: Instant) {
    instants = Array(restored.map { min($0, now) }.sorted().suffix(Self.mostCounted))
  }

  mutating func append(_ instant: Instant, limit: FailoverLimit?) {
    let room = min(max(Self.kept, limit?.count ?? 0), Self.mostCounted)
    instants = instants.suffix(room - 1) + [instant]
  }

  /// How often `minimum` is doubled at `now`.
  func doublings(of minimum: Duration, at now: Instant) -> Int {
    var doublings = 0
    var previous: Instant?
    for instant in instants.suffix(Self.kept) where instant <= now {
      if let previous {
        var rest = instant - previous
        cool(&doublings, by: &rest, minimum)
        if rest < Self.interval(minimum, doublings) * Self.probation { doublings = min(doublings + 1, Self.mostDoublings) }
      }
      previous = instant
    }
    if let previous {
      var rest = now - previous
      cool(&doublings, by: &rest, minimum)
    }
    return doublings
  }

  private func cool(_ doublings: inout Int, by rest: inout Duration, _ minimum: Duration) {
    while doublings > 0 {
      let probation = Self.interval(minimum, doublings) * Self.probation
      if rest < probation { return }
      rest -= probation
      doublings -= 1
    }
  }

  static func interval(_ minimum: Duration, _ doublings: Int) -> Duration { minimum * (1 << doublings) }

  /// How many there were in the span that ends now.
  func count(within span: Duration, before now: Instant) -> Int { instants.count { now - $0 < span } }

  /// Until when another one would be more than the limit allows; nil when it would not.
  func suspended(by limit: FailoverLimit?, at now: Instant) -> Instant? {
    guard let limit else { return nil }
    let count = max(1, limit.count)
    if instants.count < count { return nil }
    let end = instants[instants.count - count] + limit.within
    return end > now ? end : nil
  }
}
