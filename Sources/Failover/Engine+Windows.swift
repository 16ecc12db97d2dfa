package import Model

/// Maintenance windows, carried out by themselves. Without a reading of the clock on the wall nothing of this happens.
struct Maintenance: Sendable {
  /// By id, in the order in which they became known: of two for one group at the same time, the first is carried out.
  var windows: [WindowProgress] = []
  /// What the windows that run now want, for groups that get such a member meanwhile.
  var orders: [BackendID: Member.Orders] = [:]
  var due: Instant?

  func position(_ id: String) -> Int? { windows.firstIndex { $0.window.id == id } }
  /// A window of the file is read again, and needs no memory but of what was cancelled.
  var memories: [WindowMemory] { windows.map(\.memory).filter { !$0.window.isConfigured || $0.cancelled != nil } }
}

extension Engine {
  package mutating func schedule(_ window: MaintenanceWindow, now: Instant) throws(CommandError) -> [Effect] {
    guard maintenance.position(window.id) == nil else { throw .windowExists(window.id) }
    var window = window
    window.isConfigured = false
    maintenance.windows.append(WindowProgress(window))
    // In two steps: in one expression, what is remembered would be read before the windows that are over are gone.
    let effects = advanceWindows(now: now)
    return rememberWindows(after: effects)
  }

  /// Ends it where it has begun.
  package mutating func cancelWindow(_ id: String, now: Instant) throws(CommandError) -> [Effect] {
    guard let position = maintenance.position(id) else { throw .unknownWindow(id) }
    if maintenance.windows[position].window.isConfigured { throw .windowIsConfigured(id) }
    var round = Round()
    dropWindow(at: position, now: now, in: &round)
    let effects = finish(round) + advanceWindows(now: now)
    return rememberWindows(after: effects)
  }

  /// By next start.
  package func windows(at now: Instant) -> [WindowSnapshot] {
    let wall = wallClock.wall(at: now)
    return maintenance.windows.map { $0.snapshot(wall: wall) }.sorted { a, b in
      switch (a.nextStart, b.nextStart) {
      case (let a?, let b?) where a != b: a < b
      case (_?, nil): true
      case (nil, _?): false
      default: a.window.id < b.window.id
      }
    }
  }

  // MARK: Facts

  /// The file's windows. One that is described as before goes on from where it is.
  mutating func windowsConfigured(_ windows: [MaintenanceWindow], now: Instant) -> [Effect] {
    var described: [String: MaintenanceWindow] = [:]
    for window in windows {
      var window = window
      window.isConfigured = true
      if described[window.id] == nil { described[window.id] = window }
    }
    var round = Round()
    let memoriesBefore = maintenance.memories
    // The file wins over what was asked for under the same id.
    for position in maintenance.windows.indices.reversed() {
      let known = maintenance.windows[position].window
      let goes = known.isConfigured ? described[known.id] != known : described[known.id] != nil
      if goes { dropWindow(at: position, now: now, in: &round) }
    }
    for window in windows where maintenance.position(window.id) == nil {
      if let window = described[window.id] { maintenance.windows.append(WindowProgress(window)) }
    }
    let effects = finish(round) + advanceWindows(now: now)
    return maintenance.memories == memoriesBefore ? effects : rememberWindows(after: effects)
  }

  /// Windows of an earlier run, which are known to be remembered. Those that came from its file stay if the file still has them.
  mutating func windowsRemembered(_ memories: [WindowMemory], now: Instant) -> [Effect] {
    for memory in memories where maintenance.position(memory.window.id) == nil {
      maintenance.windows.append(WindowProgress(memory))
    }
    return advanceWindows(now: now)
  }

  // MARK: Execution

  /// Does what is due. Idempotent.
  mutating func advanceWindows(now: Instant) -> [Effect] {
    guard let wall = wallClock.wall(at: now), !maintenance.windows.isEmpty else {
      maintenance.due = nil
      return []
    }
    var round = Round()
    let memoriesBefore = maintenance.memories
    // Ends before beginnings: who comes back can take over from the next.
    for position in maintenance.windows.indices {
      guard case .end(let wasActive) = maintenance.windows[position].step(wall: wall, now: now) else { continue }
      end(maintenance.windows[position].window, wasActive: wasActive, now: now, in: &round)
    }
    for position in maintenance.windows.indices { begin(position, wall: wall, now: now, in: &round) }
    // Those of the file stay in sight: it still names them.
    maintenance.windows.removeAll { !$0.window.isConfigured && $0.isOver(wall: wall) }
    maintenance.due = maintenance.windows.compactMap { $0.nextDeadline(wall: wall, clock: wallClock) }.filter { $0 > now }.min()
    let effects = finish(round)
    return maintenance.memories == memoriesBefore ? effects : rememberWindows(after: effects)
  }

  mutating func windowsDue(now: Instant) -> [Effect] {
    maintenance.due.map { $0 <= now } ?? false ? advanceWindows(now: now) : []
  }

  private mutating func begin(_ position: Int, wall: WallTime, now: Instant, in round: inout Round) {
    let window = maintenance.windows[position].window
    let step = maintenance.windows[position].step(wall: wall, now: now)
    guard step == .drain || step == .begin else { return }
    let groups = positions(having: window.backend)
    let stuck = groups.filter { slots[$0].map { !$0.group.couldSpare(window.backend, now: now) } ?? false }
    if stuck.isEmpty {
      maintenance.windows[position].took(step, wall: wall, now: now)
      let kind: Decision.Kind = step == .begin ? .maintenanceBegan : .drained
      obeyWindows(on: window.backend, record: kind, reason: .maintenanceWindow(window.id), in: groups, now: now, &round)
    } else {
      maintenance.windows[position].cancel(wall: wall)
      obeyWindows(on: window.backend, record: nil, reason: .maintenanceWindow(window.id), in: groups, now: now, &round)
      for group in stuck {
        change(group, now: now, in: &round) { group, outcome in
          let evidence = group.members.map { $0.evidence(at: now) }
          outcome.record(
            .maintenanceCancelled, to: window.backend, reason: .noAlternative(window: window.id), evidence: evidence)
        }
      }
    }
  }

  private mutating func dropWindow(at position: Int, now: Instant, in round: inout Round) {
    let progress = maintenance.windows.remove(at: position)
    if progress.phase != .waiting { end(progress.window, wasActive: progress.phase == .active, now: now, in: &round) }
  }

  private mutating func end(_ window: MaintenanceWindow, wasActive: Bool, now: Instant, in round: inout Round) {
    let kind: Decision.Kind = wasActive ? .maintenanceEnded : .undrained
    let groups = positions(having: window.backend)
    obeyWindows(on: window.backend, record: kind, reason: .maintenanceWindow(window.id), in: groups, now: now, &round)
  }

  /// Other windows of the same backend may still run.
  private mutating func obeyWindows(
    on backend: BackendID, record kind: Decision.Kind?, reason: Reason, in groups: [Int], now: Instant, _ round: inout Round
  ) {
    let wanted = maintenance.windows.filter { $0.window.backend == backend }.reduce(Member.Orders()) { $0.union($1.orders) }
    maintenance.orders[backend] = wanted.isEmpty ? nil : wanted
    for position in groups {
      change(position, now: now, in: &round) { group, outcome in
        _ = group.countermand(Member.Orders.windows.subtracting(wanted), for: backend)
        if !wanted.isEmpty { _ = group.order(wanted, for: backend) }
        if let kind { outcome.record(kind, to: backend, reason: reason) }
      }
    }
  }

  private func rememberWindows(after effects: [Effect]) -> [Effect] {
    effects.filter { if case .rememberWindows = $0 { false } else { true } } + [.rememberWindows(maintenance.memories)]
  }
}

extension WindowProgress {
  func snapshot(wall: WallTime?) -> WindowSnapshot {
    guard let wall else { return WindowSnapshot(window: window, state: .waiting, nextStart: window.start) }
    let reason = wasCancelled ? "nobody else in a group of the backend could have served" : nil
    let isCancelled = wasCancelled && occurrence == nil && window.running(at: wall).map { $0.start == lastDone } ?? false
    let state: WindowSnapshot.State =
      switch phase {
      case .draining: .draining
      case .active: .active
      case .waiting where isCancelled: .cancelled
      case .waiting: isOver(wall: wall) ? .over : .waiting
      }
    let next = occurrence ?? window.next(after: wall)
    return WindowSnapshot(window: window, state: state, nextStart: next?.start, reason: reason)
  }
}
