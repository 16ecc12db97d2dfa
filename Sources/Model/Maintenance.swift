/// A point on the clock that people read: milliseconds since 1970, UTC. It may jump; durations are measured with `Instant`.
package struct WallTime: Hashable, Comparable, Sendable, BitwiseCopyable {
  package let milliseconds: Int64

  package init(milliseconds: Int64) { self.milliseconds = milliseconds }

  package static func < (a: WallTime, b: WallTime) -> Bool { a.milliseconds < b.milliseconds }
  package static func + (a: WallTime, b: Duration) -> WallTime {
    let (sum, overflow) = a.milliseconds.addingReportingOverflow(b.nanoseconds / 1_000_000)
    return WallTime(milliseconds: overflow ? (b < .zero ? .min : .max) : sum)
  }
  package static func - (a: WallTime, b: Duration) -> WallTime { a + (.zero - b) }
  package static func - (a: WallTime, b: WallTime) -> Duration {
    let (difference, overflow) = a.milliseconds.subtractingReportingOverflow(b.milliseconds)
    return .milliseconds(overflow ? (a < b ? .min : .max) : difference)
  }
}

/// When a backend is to be left alone, in all groups that have it.
package struct MaintenanceWindow: Hashable, Sendable {
  package enum Repetition: String, CaseIterable, Hashable, Sendable {
    case daily, weekly

    package var period: Duration {
      switch self {
      case .daily: .seconds(86_400)
      case .weekly: .seconds(7 * 86_400)
      }
    }
  }

  /// Unique among all windows.
  package var id: String
  package var backend: BackendID
  /// Of the first occurrence.
  package var start: WallTime
  package var duration: Duration
  /// Nil: once. A fixed period of UTC, whatever daylight saving does.
  package var repetition: Repetition?
  /// So long before the start the backend gets no new connections any more.
  package var preDrain: Duration
  /// From the file, and not through the API.
  package var isConfigured: Bool

  package init(
    id: String, backend: BackendID, start: WallTime, duration: Duration, repetition: Repetition? = nil,
    preDrain: Duration = .zero, isConfigured: Bool = false
  ) {
    self.id = id
    self.backend = backend
    self.start = start
    self.duration = duration
    self.repetition = repetition
    self.preDrain = preDrain
    self.isConfigured = isConfigured
  }
}

/// What must be known of a maintenance window after a restart: that it was asked for, and which occurrence of it is not carried out.
package struct WindowMemory: Hashable, Sendable {
  package var window: MaintenanceWindow
  /// The start of the last occurrence, where that was cancelled.
  package var cancelled: WallTime?

  package init(_ window: MaintenanceWindow, cancelled: WallTime? = nil) {
    self.window = window
    self.cancelled = cancelled
  }
}
