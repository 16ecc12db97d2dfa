import Model

/// Which occurrence of a maintenance window is due at a time of the clock on the wall. Pure arithmetic, nothing remembered.
extension MaintenanceWindow {
  /// One time that the window takes place. Its drain begins `preDrain` before `start`.
  struct Occurrence: Hashable {
    let start: WallTime
    let drainStart: WallTime
    let end: WallTime
  }

  /// The occurrence that has begun with its drain and is not over; of two that overlap the one in maintenance, that is, the earlier.
  func running(at wall: WallTime) -> Occurrence? {
    guard let latest = latest(at: wall) else { return nil }
    let earlier = repetition.map { occurrence($0, latest.start - $0.period) }
    return [earlier, latest].compactMap { $0 }.first { $0.start >= start && wall < $0.end }
  }

  /// The first occurrence whose drain is still to come; nil when there is none any more.
  func next(after wall: WallTime) -> Occurrence? {
    guard let latest = latest(at: wall) else { return occurrence(repetition, start) }
    return repetition.map { occurrence($0, latest.start + $0.period) }
  }

  /// The last whose drain has begun, over or not.
  private func latest(at wall: WallTime) -> Occurrence? {
    let since = wall - (start - preDrain)
    if since < .zero { return nil }
    guard let repetition else { return occurrence(nil, start) }
    let period = repetition.period.nanoseconds / 1_000_000
    // In milliseconds, not in the nanoseconds of a duration, which saturate after 292 years.
    let passed = since.wholeMilliseconds / period * period
    return occurrence(repetition, start + .milliseconds(passed))
  }

  private func occurrence(_ repetition: Repetition?, _ start: WallTime) -> Occurrence {
    Occurrence(start: start, drainStart: start - max(.zero, preDrain), end: start + max(.zero, duration))
  }
}

extension Duration {
  fileprivate var wholeMilliseconds: Int64 { nanoseconds / 1_000_000 }
}

/// Where one maintenance window stands.
///
/// An occurrence is carried out once: what is over, or cancelled, does not begin again when the clock is set back a little. A running
/// one goes on then, and ends at the latest when it has lasted as long as it should by the monotonic clock. Only a clock that goes
/// back by more than `correction` was wrong before, and what happened by it counts as not having happened.
struct WindowProgress: Hashable, Sendable {
  enum Phase: Hashable, Sendable {
    case waiting
    case draining
    case active
  }

  /// What the window asks for now.
  enum Step: Hashable {
    case none
    case drain
    case begin
    /// `wasActive`: the maintenance had begun.
    case end(wasActive: Bool)
  }

  static let correction = Duration.seconds(60)

  let window: MaintenanceWindow
  private(set) var phase = Phase.waiting
  private(set) var occurrence: MaintenanceWindow.Occurrence?
  /// By the monotonic clock, which nobody sets.
  private var endsBy: Instant?
  /// The start of the last occurrence that ended or was cancelled.
  private(set) var lastDone: WallTime?
  private(set) var wasCancelled = false

  init(_ window: MaintenanceWindow) { self.window = window }

  /// As an earlier run left it. An occurrence that ran then is due again until it is over; one that was cancelled stays so.
  init(_ memory: WindowMemory) {
    window = memory.window
    lastDone = memory.cancelled
    wasCancelled = memory.cancelled != nil
  }

  var memory: WindowMemory { WindowMemory(window, cancelled: wasCancelled ? lastDone : nil) }

  /// What is due. The engine either carries it out and calls `took`, or calls `cancel`.
  mutating func step(wall: WallTime, now: Instant) -> Step {
    if let done = lastDone, wall < done - window.preDrain - Self.correction { lastDone = nil }
    if let current = occurrence {
      let wasWrong = wall < current.drainStart - Self.correction
      if wasWrong || wall >= current.end || endsBy.map({ $0 <= now }) ?? false {
        let wasActive = phase == .active
        finish(wasWrong ? nil : current.start)
        wasCancelled = false
        return .end(wasActive: wasActive)
      }
      return phase == .draining && wall >= current.start ? .begin : .none
    }
    guard let due = due(wall: wall) else { return .none }
    return wall >= due.start ? .begin : .drain
  }

  mutating func took(_ step: Step, wall: WallTime, now: Instant) {
    switch step {
    case .none, .end: return
    case .drain: phase = .draining
    case .begin: phase = .active
    }
    if occurrence == nil, let due = due(wall: wall) {
      occurrence = due
      endsBy = now + (due.end - wall)
    }
    wasCancelled = false
  }

  /// The occurrence that is due, or runs, is not carried out.
  mutating func cancel(wall: WallTime) {
    finish((occurrence ?? due(wall: wall))?.start)
    wasCancelled = true
  }

  private mutating func finish(_ done: WallTime?) {
    if let done { lastDone = done }
    occurrence = nil
    endsBy = nil
    phase = .waiting
  }

  private func due(wall: WallTime) -> MaintenanceWindow.Occurrence? {
    window.running(at: wall).flatMap { running in lastDone.map { running.start <= $0 } ?? false ? nil : running }
  }

  /// A cancelled occurrence is in sight for as long as it would have lasted.
  func isOver(wall: WallTime) -> Bool {
    occurrence == nil && window.running(at: wall) == nil && window.next(after: wall) == nil
  }

  /// When there will be something to do, by either clock.
  func nextDeadline(wall: WallTime, clock: WallClock) -> Instant? {
    guard let occurrence else {
      let next = window.next(after: wall)?.drainStart ?? window.running(at: wall)?.end
      return next.flatMap(clock.instant)
    }
    let next = clock.instant(of: phase == .draining ? occurrence.start : occurrence.end)
    return [next, endsBy].compactMap { $0 }.min()
  }

  /// What it wants of the backend.
  var orders: Member.Orders {
    switch phase {
    case .waiting: []
    case .draining: .drainedByWindow
    case .active: .maintenanceWindow
    }
  }
}
