package import Model

/// The one place that decides. A pure function of (state, event, now) to (state, effects): no clock, no randomness, no input or output.
///
/// Feed it facts with `handle` and requests with the methods of `Engine+Commands.swift`; carry out the effects in order; call `handle(.deadlineReached)` at
/// `nextDeadline`. The same sequence gives the same decisions.
///
/// An event costs what the groups it is about cost, however many there are: groups sit in slots that never move, found by name, by
/// the domains they use, and by their deadlines.
package struct Engine: Sendable {
  struct Slot {
    var group: Group
  }

  var slots: [Slot?] = []
  var freeSlots: [Int] = []
  var index: [GroupName: Int] = [:]
  /// By domain: the slots of the groups that have it as a source.
  var users: [DomainName: Set<Int>] = [:]
  /// By slot.
  var deadlines = DeadlineHeap()
  var wallClock = WallClock()
  var maintenance = Maintenance()
  private var generation: UInt64 = 0
  private var sequence: UInt64 = 0
  var network = NetworkWatch()
  /// What an earlier run left behind of groups that are not there yet.
  var memories: [GroupName: GroupMemory] = [:]
  var memoriesExpire: Instant?
  var host: Host

  /// - Parameter zone: where this host is, for groups with zone affinity.
  package init(holdRemoved: Duration, zone: String? = nil) {
    host = Host(holdRemoved: holdRemoved, zone: zone)
  }

  package subscript(name: GroupName) -> Group? { index[name].flatMap { slots[$0]?.group } }

  /// In the order of their creation, but for those that took the place of one that went.
  package var groups: [Group] { slots.compactMap { $0?.group } }

  /// What the changes that were published add up to. Put together on demand: the engine itself never needs the whole.
  package var table: RoutingTable { RoutingTable(generation: generation, groups: slots.compactMap { $0?.group.announcedRoute }) }

  /// The earliest instant at which time alone could change something.
  package var nextDeadline: Instant? { earlier(earlier(deadlines.earliest, maintenance.due), memoriesExpire) }

  package mutating func handle(_ event: Event, now: Instant) -> [Effect] {
    switch event {
    case .groupsConfigured(let specifications, let leaving):
      let described = Set(specifications.map(\.name))
      let gone = slots.compactMap { $0?.group.name }.filter { !described.contains($0) }
      return configure(specifications, gone: gone, leaving: leaving, now: now)
    case .groupsChanged(let specifications, let gone, let leaving):
      return configure(specifications, gone: gone.sorted(), leaving: leaving, now: now)
    case .probeFinished(let report):
      return probeFinished(report, now: now)
    case .dataPathFailed(let signal):
      return change(index[signal.member.group].map { [$0] } ?? [], now: now) { $0.dataPathFailed(signal, now: now, into: &$1) }
    case .discoveryUpdated(let update):
      return change(users[update.domain]?.sorted() ?? [], now: now) { $0.discoveryUpdated(update, now: now, into: &$1) }
    case .windowsConfigured(let windows):
      return windowsConfigured(windows, now: now)
    case .wallClockRead(let wall):
      wallClock.read(wall, at: now)
      return advanceWindows(now: now)
    case .remembered(let groups, let windows):
      remember(groups, now: now)
      return windowsRemembered(windows, now: now)
    case .deadlineReached:
      var due: [Int] = []
      while let slot = deadlines.popExpired(at: now) { due.append(Int(slot)) }
      var round = Round()
      forgetUnclaimed(now: now, in: &round)
      for position in due.sorted() { change(position, now: now, in: &round) { _, _ in } }
      return finish(round) + windowsDue(now: now)
    }
  }

  /// Applies a fact to some groups, lets each settle, and gathers what has to be done.
  mutating func change(_ positions: [Int], now: Instant, _ apply: (inout Group, inout Outcome) -> Void) -> [Effect] {
    var round = Round()
    for position in positions { change(position, now: now, in: &round, apply) }
    return finish(round)
  }

  mutating func change(
    _ position: Int, now: Instant, in round: inout Round, _ apply: (inout Group, inout Outcome) -> Void
  ) {
    var outcome = Outcome()
    guard let before = slots[position]?.group.memorable, let answeringBefore = slots[position]?.group.answering,
      let (group, route) = slots[position]?.change(
        network: network.suspicion, windows: maintenance.orders, now: now, into: &outcome, apply)
    else { return }
    network.answering += group.answering - answeringBefore
    if group.suspension == .network { network.affected.insert(position) }
    if !group.isGone, group.memorable != before { round.memories.append(.remember(group.memory(wallClock))) }
    for draft in outcome.decisions { record(draft, of: group.name, now: now, in: &round) }
    if group.isGone { return drop(position, because: .leftConfiguration, now: now, in: &round) }
    if let route { round.changed.append(route) }
    if outcome.membershipChanged { round.probes.append((group.name, group.probeTargets)) }
    round.probesNow.formUnion(outcome.probesNow)
    round.lookUps.formUnion(outcome.lookUps)
    if let deadline = group.deadline(after: now) {
      deadlines.set(UInt32(position), at: deadline)
    } else {
      deadlines.remove(UInt32(position))
    }
  }

  mutating func record(_ draft: Outcome.Draft, of group: GroupName, now: Instant, in round: inout Round) {
    sequence += 1
    round.records.append(
      Decision(
        sequence: sequence, at: now, group: group, kind: draft.kind, from: draft.from, to: draft.to, reason: draft.reason,
        evidence: draft.evidence, detection: draft.detection))
  }

  mutating func finish(_ round: Round) -> [Effect] {
    if round.changesRoutes { generation += 1 }
    return round.effects(generation: generation)
  }
}

private func earlier(_ a: Instant?, _ b: Instant?) -> Instant? {
  guard let a, let b else { return a ?? b }
  return min(a, b)
}

extension Engine.Slot {
  /// - Returns: the group afterwards, and its route where that is another one.
  fileprivate mutating func change(
    network: NetworkSuspicion, windows: [BackendID: Member.Orders], now: Instant, into outcome: inout Outcome,
    _ apply: (inout Group, inout Outcome) -> Void
  ) -> (Group, GroupRoute?) {
    group.network = network
    apply(&group, &outcome)
    if outcome.membershipChanged, !windows.isEmpty { group.obey(windows) }
    group.settle(now: now, into: &outcome)
    return (group, group.announce(now: now))
  }
}
