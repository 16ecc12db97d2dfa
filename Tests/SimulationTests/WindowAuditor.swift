import Failover
import Model

/// What maintenance windows must do, from their description and the clock on the wall alone.
struct WindowAuditor {
  private struct Watched {
    let window: MaintenanceWindow
    /// It was carried out, or cancelled: it does not have to run (again).
    var isSpent = false
    /// The start of the occurrence that was cancelled last, unless the clock was set back to before it.
    var cancelled: WallTime?
    /// By the monotonic clock.
    var runsSince: Instant?
  }

  /// A clock that is set back by less does not undo what it has begun.
  private static let correction = Duration.seconds(60)

  private var windows: [String: Watched] = [:]
  private var reading: (wall: WallTime, at: Instant)?
  private(set) var draining: Set<BackendID> = []
  private(set) var inMaintenance: Set<BackendID> = []

  var isIdle: Bool { windows.isEmpty }
  /// As of the last check.
  var areRunning: Bool { !draining.isEmpty || !inMaintenance.isEmpty }

  func wall(at now: Instant) -> WallTime? { reading.map { $0.wall + (now - $0.at) } }

  func instant(of milliseconds: Int64) -> Instant? {
    reading.map { $0.at + (WallTime(milliseconds: milliseconds) - $0.wall) }
  }

  mutating func listen(to input: Input, now: Instant) {
    switch input {
    case .event(.wallClockRead(let wall)):
      reading = (wall, now)
      for (id, watched) in windows where wall < watched.window.start - watched.window.preDrain - Self.correction {
        windows[id]?.isSpent = false
      }
      for (id, watched) in windows where watched.cancelled.map({ Self.isBefore(wall, $0, of: watched.window) }) ?? false {
        windows[id]?.cancelled = nil
      }
    case .event(.windowsConfigured(let described)):
      let old = windows
      windows = windows.filter { !$0.value.window.isConfigured }
      for window in described {
        var window = window
        window.isConfigured = true
        windows[window.id] = old[window.id].flatMap { $0.window == window ? $0 : nil } ?? Watched(window: window)
      }
    case .event(.remembered(_, let remembered)):
      for memory in remembered {
        var watched = Watched(window: memory.window)
        if let cancelled = memory.cancelled, let wall = wall(at: now), !Self.isBefore(wall, cancelled, of: memory.window) {
          watched.isSpent = true
          watched.cancelled = cancelled
        }
        windows[memory.window.id] = watched
      }
    case .scheduled(let window): windows[window.id] = Watched(window: window)
    case .cancelled(let id): windows[id] = nil
    case .event, .setPrimary, .lifted, .drained, .undrained, .added, .removed, .created, .deleted: break
    }
  }

  mutating func check(_ engine: Engine, now: Instant) -> [String] {
    draining = []
    inMaintenance = []
    guard !windows.isEmpty || !engine.windows(at: now).isEmpty else { return [] }
    var wrong: [String] = []
    var seen: Set<String> = []
    for snapshot in engine.windows(at: now) {
      let id = snapshot.window.id
      seen.insert(id)
      guard let watched = windows[id] else {
        wrong.append("window \(id) came from nowhere")
        continue
      }
      wrong += violations(of: watched, snapshot.state, now: now)
      if snapshot.state == .draining || snapshot.state == .active, let cancelled = watched.cancelled,
        snapshot.nextStart == cancelled
      {
        wrong.append("this occurrence of window \(id) was cancelled, and runs")
      }
      if snapshot.state == .cancelled, let wall = wall(at: now) {
        windows[id]?.cancelled = Self.latestStart(of: watched.window, at: wall)
      }
      switch snapshot.state {
      case .draining: draining.insert(watched.window.backend)
      case .active: inMaintenance.insert(watched.window.backend)
      case .waiting, .over, .cancelled: break
      }
      let runs = snapshot.state == .draining || snapshot.state == .active
      windows[id]?.runsSince = runs ? watched.runsSince ?? now : nil
      if snapshot.state != .waiting { windows[id]?.isSpent = true }
    }
    for (id, watched) in windows where !seen.contains(id) {
      if watched.window.isConfigured || wall(at: now).map({ $0 < end(of: watched.window) && !watched.isSpent }) ?? true {
        wrong.append("window \(id) is gone")
      }
      windows[id] = nil
    }
    return wrong
  }

  private func violations(of watched: Watched, _ state: WindowSnapshot.State, now: Instant) -> [String] {
    guard let wall = wall(at: now) else { return [] }
    let window = watched.window
    let begins = window.start - window.preDrain
    switch state {
    case .draining, .active:
      let lasts = watched.runsSince.map { now - $0 } ?? .zero
      let isOver = window.repetition == nil && (wall >= end(of: window) || wall < begins - Self.correction)
      if isOver || lasts > window.preDrain + window.duration { return ["window \(window.id) is over and still runs"] }
      if state == .active, wall < window.start - Self.correction { return ["window \(window.id) began too early"] }
    case .waiting where !watched.isSpent && isDue(window, at: wall): return ["window \(window.id) is due and does not run"]
    case .waiting, .cancelled, .over: break
    }
    return []
  }

  private func end(of window: MaintenanceWindow) -> WallTime { window.start + window.duration }

  private static func latestStart(of window: MaintenanceWindow, at wall: WallTime) -> WallTime {
    guard let period = window.repetition?.period else { return window.start }
    let passed = (wall - (window.start - window.preDrain)).nanoseconds / period.nanoseconds
    return window.start + .seconds(passed * (period.nanoseconds / 1_000_000_000))
  }

  private static func isBefore(_ wall: WallTime, _ start: WallTime, of window: MaintenanceWindow) -> Bool {
    wall < start - window.preDrain - correction
  }

  private func isDue(_ window: MaintenanceWindow, at wall: WallTime) -> Bool {
    let begins = window.start - window.preDrain
    if wall < begins { return false }
    let since = (wall - begins).nanoseconds / 1_000_000
    let period = window.repetition.map { $0.period.nanoseconds / 1_000_000 }
    return .milliseconds(period.map { since % $0 } ?? since) < window.preDrain + window.duration
  }
}
