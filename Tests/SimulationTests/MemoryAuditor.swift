import Failover
import Model

/// What would be found after a restart at this moment, from the effects alone. It has to be what the engine has.
struct MemoryAuditor {
  private var groups: [GroupName: GroupMemory] = [:]
  private var windows: [String] = []

  /// What this run began with.
  init(_ memories: [GroupMemory] = [], windows: [MaintenanceWindow] = []) {
    groups = Dictionary(memories.map { (GroupName($0.group), $0) }, uniquingKeysWith: { first, _ in first })
    self.windows = windows.map(\.id).sorted()
  }

  mutating func listen(to effect: Effect) {
    switch effect {
    case .remember(let memory): groups[GroupName(memory.group)] = memory
    case .forget(let name): groups[name] = nil
    case .rememberWindows(let all): windows = all.map(\.id).sorted()
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

  /// Those that the engine was asked for, over ones excepted.
  func windowViolations(_ snapshots: [WindowSnapshot]) -> [String] {
    let asked = snapshots.filter { !$0.window.isConfigured }.map(\.window.id).sorted()
    return asked == windows ? [] : ["windows \(windows) are remembered instead of \(asked)"]
  }
}
