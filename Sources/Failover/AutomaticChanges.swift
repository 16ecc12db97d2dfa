import Model

/// When the engine itself changed a group's primary lately, and what follows from it: how far apart such changes must be now, and
/// whether there were too many.
///
/// **Flapping** is one automatic change after another. The first of them is free: after it, `minimum_interval` counts as it is. Each
/// further one within the last 512 intervals (85 minutes with the default of 10 s) doubles it, up to 64 times. It comes back as the
/// changes leave that span; a group that keeps its primary for 512 intervals is back at the plain one. With 10 s, changes that come
/// as soon as they may are 10 s, 20 s, 40 s, … 640 s apart; one an hour is never delayed.
///
/// All of it follows from the latest instants alone, so that a restart, which remembers these, goes on where the last run was.
/// Rejected: a level that rises and cools. It is a second state beside the instants, and a restart in the middle would lose it.
struct AutomaticChanges: Hashable, Sendable {
  static let mostDoublings = 6
  /// How long a change counts, in plain intervals. Long enough for as many changes at the longest interval as it takes to keep it.
  static let span = 512
  private static let kept = mostDoublings + 1
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
    let recent = instants.suffix(Self.kept).count { $0 <= now && now - $0 < minimum * Self.span }
    return max(0, recent - 1)
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
