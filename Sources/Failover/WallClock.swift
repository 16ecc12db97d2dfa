package import Model

/// Where the monotonic clock stands on the clock that people read, as it was last told. Nil answers: it was never told.
package struct WallClock: Hashable, Sendable {
  private struct Reading: Hashable {
    let wall: WallTime
    let instant: Instant
  }

  private var reading: Reading?

  package init() {}

  mutating func read(_ wall: WallTime, at instant: Instant) { reading = Reading(wall: wall, instant: instant) }

  package func wall(at instant: Instant) -> WallTime? { reading.map { $0.wall + (instant - $0.instant) } }

  package func instant(of wall: WallTime) -> Instant? { reading.map { $0.instant + (wall - $0.wall) } }
}
