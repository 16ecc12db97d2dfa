import Failover
import Model

/// What people do, wisely or not.
extension World {
  mutating func operate() {
    schedule(.operate, after: random.duration(milliseconds: 300...4000))
    guard let group = engine.groups.isEmpty ? nil : random.pick(engine.groups) else { return }
    switch Int.random(in: 0..<20, using: &random) {
    case 0: do { try delete(group.name) } catch { note("\(error)") }
    case 1...5:
      guard !group.members.isEmpty else { return }
      setPrimary(of: group.name, to: random.pick(group.members).id, force: random.chance(25), pin: random.chance(20))
    case 6...7: lift(group.name)
    case 8...9: if !group.members.isEmpty { drain(random.pick(group.members).id) }
    case 10...12: if let backend = group.drainedByOperator.first { undrain(backend) }
    case 13: addSpare(to: group.name)
    case 14: if let name = additions.keys.sorted().first { removeSpare(from: name) }
    case 15...17: if !group.members.isEmpty { scheduleWindow(for: random.pick(group.members).id) }
    case 18: if let id = engine.windows(at: now).first(where: { !$0.window.isConfigured })?.window.id { cancelWindow(id) }
    default: if !group.members.isEmpty { configureWindow(for: random.pick(group.members).id) }
    }
  }

  private mutating func lift(_ group: GroupName) {
    request(.lifted(group), "lifts the choice of \(group)") { engine, now throws(CommandError) in
      try engine.liftOverride(of: group, now: now)
    }
  }

  private mutating func drain(_ backend: BackendID) {
    request(.drained(backend), "drains \(backend)") { engine, now throws(CommandError) in try engine.drain(backend, now: now) }
    if sabotage == .overlooksOrders { _ = try? engine.undrain(backend, now: now) }
  }

  private mutating func undrain(_ backend: BackendID) {
    request(.undrained(backend), "undrains \(backend)") { engine, now throws(CommandError) in
      try engine.undrain(backend, now: now)
    }
  }

  private mutating func addSpare(to group: GroupName) {
    guard let number = plan.clusterOfGroup[group], let check = described.first(where: { $0.name == group })?.members.first?.check
    else { return }
    let origin = MemberSource.Origin.fixed("spare", .ip(clusters[number].spare.address, port: 5432))
    add(MemberSource(origin: origin, proto: .tcp, check: check), to: group)
  }

  private mutating func removeSpare(from group: GroupName) {
    additions[group] = nil
    request(.removed("spare", from: group), "removes the spare from \(group)") { engine, now throws(CommandError) in
      try engine.removeMember("spare", from: group, now: now)
    }
  }

  private mutating func window(_ id: String, for backend: BackendID) -> MaintenanceWindow {
    MaintenanceWindow(
      id: id, backend: backend, start: wall + random.duration(milliseconds: -1000...4000),
      duration: random.duration(milliseconds: 100...5000), repetition: random.chance(20) ? .daily : nil,
      preDrain: random.duration(milliseconds: 0...2000))
  }

  private mutating func scheduleWindow(for backend: BackendID) {
    windowNumber += 1
    let window = window("w\(windowNumber)", for: backend)
    var carriedOut = window
    if sabotage == .overlooksWindows { carriedOut.start = window.start + .seconds(3600) }
    if sabotage == .prolongsWindows { carriedOut.duration = .seconds(600) }
    request(.scheduled(window), "window \(window.id) of \(backend), \((window.start - wall).text) from now") {
      [carriedOut] engine, now throws(CommandError) in try engine.schedule(carriedOut, now: now)
    }
  }

  private mutating func cancelWindow(_ id: String) {
    request(.cancelled(id), "cancels window \(id)") { engine, now throws(CommandError) in
      try engine.cancelWindow(id, now: now)
    }
  }

  /// The file gets another window, or loses all of them.
  private mutating func configureWindow(for backend: BackendID) {
    windowNumber += 1
    configuredWindows = random.chance(30) ? [] : configuredWindows + [window("f\(windowNumber)", for: backend)]
    note("the file has the windows \(configuredWindows.map(\.id))")
    feed(.windowsConfigured(configuredWindows))
  }

  // MARK: Once all is well again

  /// What people ordered is taken back, but for maintenance that has begun: it ends by itself.
  mutating func tidyUp() {
    let running = engine.windows(at: now).filter { $0.state == .draining || $0.state == .active }.map(\.window.id)
    configuredWindows = configuredWindows.filter { running.contains($0.id) && $0.repetition == nil }
    feed(.windowsConfigured(configuredWindows))
    for window in engine.windows(at: now) where !window.window.isConfigured {
      if window.state == .waiting || window.window.repetition != nil { cancelWindow(window.window.id) }
    }
    for group in engine.groups {
      for backend in group.drainedByOperator { undrain(backend) }
    }
    for name in additions.keys.sorted() { removeSpare(from: name) }
  }

  /// Choices of primary that stand in the way are lifted; in shadow mode a person moves the traffic.
  mutating func liftOverrides() {
    for group in engine.groups where group.override != nil { lift(group.name) }
    for group in engine.groups where group.specification.shadow {
      guard group.leader.flatMap(group.member)?.obstacle(at: now) != nil || group.leader.flatMap(group.member) == nil else {
        continue
      }
      guard let able = group.members.first(where: { $0.obstacle(at: now) == nil }) else { continue }
      setPrimary(of: group.name, to: able.id, force: false, pin: false)
      lift(group.name)
    }
  }

  /// Whether something that is due still has to wait.
  var isUnsettled: Bool {
    engine.groups.contains { group in
      guard let explanation = engine.explanation(of: group.name, at: now) else { return true }
      let waits = ["waiting_for_minimum_interval", "maximum_failovers_reached", "network_suspected", "awaiting_first_verdicts"]
      return waits.contains(explanation.rule) || explanation.snapshot.failback?.due != nil || explanation.snapshot.suspension != nil
    } || engine.windows(at: now).contains { $0.state == .draining || $0.state == .active }
  }
}
