import Failover
import Model

/// What would be found after a restart at this moment, from the effects alone. It has to be what the engine has.
struct MemoryAuditor {
  private var groups: [GroupName: GroupMemory] = [:]
  private var windows: Set<WindowMemory> = []

  /// What this run began with.
  init(_ memories: [GroupMemory] = [], windows: [WindowMemory] = []) {
    groups = Dictionary(memories.map { (GroupName($0.group), $0) }, uniquingKeysWith: { first, _ in first })
    self.windows = Set(windows)
  }

  mutating func listen(to effect: Effect) {
    switch effect {
    case .remember(let memory): groups[GroupName(memory.group)] = memory
    case .forget(let name): groups[name] = nil
    case .rememberWindows(let all): windows = Set(all)
    case .publish, .replaceProbes, .probeNow, .lookUpNow, .record: break
    }
  }

  func violations(_ group: Group) -> [String] {
    let memory = groups[group.name]
    var wrong: [String] = []
    if let leader = group.leader, memory?.primary != leader.rawValue { wrong.append("the primary is not remembered") }
    let chosen = group.override.flatMap { override in
      override.isConfigured
        ? nil : GroupMemory.Override(backend: override.backend.rawValue, force: override.force, pin: override.pin)
    }
    if memory?.override != chosen { wrong.append("the choice of primary is not remembered") }
    if memory?.drained ?? [] != group.drainedByOperator.map(\.rawValue) { wrong.append("the drained backends are not remembered") }
    if memory?.failoverCount ?? 0 != group.failoverCount { wrong.append("the count of failovers is not remembered") }
    return wrong.map { "\(group.name): \($0)" }
  }

  /// Those that the engine was asked for, over ones excepted, and those that are cancelled just now.
  func windowViolations(_ snapshots: [WindowSnapshot]) -> [String] {
    let asked = Set(snapshots.filter { !$0.window.isConfigured }.map(\.window))
    let remembered = Set(windows.map(\.window).filter { !$0.isConfigured })
    var wrong = asked == remembered ? [] : ["windows \(remembered) are remembered instead of \(asked)"]
    for snapshot in snapshots where snapshot.state == .cancelled {
      if !windows.contains(where: { $0.window == snapshot.window && $0.cancelled != nil }) {
        wrong.append("that window \(snapshot.window.id) is cancelled is not remembered")
      }
    }
    return wrong
  }
}
