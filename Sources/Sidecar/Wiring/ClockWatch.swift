import LebaConfiguration
import Model

/// Notices when the clock on the wall is not where the monotonic one would have it: somebody set it, or it runs differently.
struct ClockWatch {
  private static let interval = Duration.seconds(10)
  private static let tolerance = Duration.milliseconds(250)

  private var known: (wall: WallTime, at: Instant)?
  private var lastLook = Instant.monotonicNow

  /// Maintenance windows follow the wall: it is looked at now and then even if nothing else happens.
  func nextLook(before deadline: Instant?) -> Instant {
    let next = lastLook + Self.interval
    return deadline.map { min($0, next) } ?? next
  }

  /// - Returns: the time on the wall, where it is news.
  mutating func look() -> WallTime? {
    let now = Instant.monotonicNow
    let wall = WallTime.current
    lastLook = now
    if let known {
      let difference = wall - (known.wall + (now - known.at))
      if (.zero - Self.tolerance...Self.tolerance).contains(difference) { return nil }
    }
    known = (wall, now)
    return wall
  }
}
