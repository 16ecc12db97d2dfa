import Model

/// What of a group outlives the process.
extension Group {
  /// The parts from which `memory` is made: when one of them changes, it is told anew.
  struct Memorable: Hashable {
    let primary: BackendID?
    let override: Override?
    let automaticChanges: AutomaticChanges
    let lastFailover: Instant?
    let failoverCount: Int
    let drained: [BackendID]
  }

  var memorable: Memorable {
    Memorable(
      primary: leader ?? remembered, override: override, automaticChanges: automaticChanges, lastFailover: lastFailover,
      failoverCount: failoverCount, drained: drainedByOperator)
  }

  /// Times are left out while nobody has told what the clock on the wall says. A pin of the configuration is not remembered: it is
  /// read again.
  func memory(_ clock: WallClock) -> GroupMemory {
    let chosen = override.flatMap { override in
      override.isConfigured
        ? nil : GroupMemory.Override(backend: override.backend.rawValue, force: override.force, pin: override.pin)
    }
    return GroupMemory(
      group: name.rawValue, primary: (leader ?? remembered)?.rawValue, override: chosen,
      drained: drainedByOperator.map(\.rawValue).sorted(),
      automaticChanges: automaticChanges.instants.compactMap { clock.wall(at: $0)?.milliseconds },
      lastFailover: lastFailover.flatMap(clock.wall)?.milliseconds, failoverCount: failoverCount)
  }

  /// Takes over what an earlier run left behind. What it says of times is not believed beyond now: clocks are set back.
  mutating func restore(_ memory: GroupMemory, _ clock: WallClock, now: Instant) {
    func instant(_ milliseconds: Int64) -> Instant? { clock.instant(of: WallTime(milliseconds: milliseconds)).map { min($0, now) } }
    remembered = memory.primary.flatMap { $0.isEmpty ? nil : BackendID($0) }
    if let chosen = memory.override {
      override = Override(backend: BackendID(chosen.backend), force: chosen.force, pin: chosen.pin)
    }
    // It was another kind of group when it had a primary that nobody chose.
    if specification.mode == .normal, !marksPrimary, override == nil { remembered = nil }
    automaticChanges = AutomaticChanges(restored: memory.automaticChanges.compactMap(instant), now: now)
    lastFailover = memory.lastFailover.flatMap(instant)
    restoreDrains(memory.drained)
    failoverCount = min(max(memory.failoverCount, 0), Int(Int32.max))
  }

  /// The primary of the last run leads on, able or not: what takes its place is a failover like any other, with all that is counted
  /// and waited for. A first election would be a way around both.
  mutating func resume() {
    guard leader == nil, let remembered else { return }
    leader = remembered
    self.remembered = nil
  }
}

extension Engine {
  /// How long a group that is remembered has to come back: one that only DNS describes comes with its answers, and these may be late.
  static let memoryLasts = Duration.seconds(600)

  /// Kept until a group of that name is made. What nobody claims in time is forgotten, also by whoever keeps it for us: the memory
  /// does not grow from one run to the next.
  mutating func remember(_ groups: [GroupMemory], now: Instant) {
    for memory in groups where index[GroupName(memory.group)] == nil { memories[GroupName(memory.group)] = memory }
    memoriesExpire = memories.isEmpty ? nil : now + Self.memoryLasts
  }

  mutating func forgetUnclaimed(now: Instant, in round: inout Round) {
    guard let end = memoriesExpire, end <= now else { return }
    for name in memories.keys.sorted() { round.memories.append(.forget(name)) }
    memories = [:]
    memoriesExpire = nil
  }
}
