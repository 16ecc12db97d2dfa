package import Model

/// The one place that decides. A pure function of (state, event, now) to (state, effects): no clock, no randomness, no input or output.
///
/// Feed it facts with `handle` and requests with the methods of `Engine+Commands.swift`; carry out the effects in order; call `handle(.deadlineReached)` at
/// `nextDeadline`. The same sequence gives the same decisions.
package struct Engine: Sendable {
  package private(set) var groups: [Group] = []
  private var index: [GroupName: Int] = [:]
  /// Per group, so that one event does not look at a thousand groups.
  private var deadlines: [Instant?] = []
  package private(set) var table = RoutingTable.empty
  private var sequence: UInt64 = 0
  let holdRemoved: Duration

  package init(holdRemoved: Duration) { self.holdRemoved = holdRemoved }

  package subscript(name: GroupName) -> Group? { index[name].map { groups[$0] } }

  /// The earliest instant at which time alone could change something.
  package var nextDeadline: Instant? { deadlines.compactMap { $0 }.min() }

  package mutating func handle(_ event: Event, now: Instant) -> [Effect] {
    switch event {
    case .groupsConfigured(let specifications):
      var names = Set(index.keys)
      let added = specifications.filter { names.insert($0.name).inserted }.map { Group($0, holdRemoved: holdRemoved, now: now) }
      return add(added, now: now)
    case .probeFinished(let report):
      return change(index[report.member.group].map { [$0] } ?? [], now: now) { $0.probeFinished(report, now: now, into: &$1) }
    case .dataPathFailed(let signal):
      return change(index[signal.member.group].map { [$0] } ?? [], now: now) { $0.dataPathFailed(signal, now: now, into: &$1) }
    case .discoveryUpdated(let update):
      let touched = groups.indices.filter { groups[$0].names(update.domain) }
      return change(touched, now: now) { $0.discoveryUpdated(update, now: now, into: &$1) }
    case .deadlineReached:
      let due = groups.indices.filter { index in deadlines[index].map { $0 <= now } ?? false }
      return change(due, now: now) { _, _ in }
    }
  }

  mutating func add(_ added: [Group], now: Instant) -> [Effect] {
    let positions = groups.count..<groups.count + added.count
    for group in added {
      index[group.name] = groups.count
      groups.append(group)
      deadlines.append(nil)
      table.groups.append(group.route(now: now))
    }
    let effects = change(Array(positions), now: now) { _, outcome in
      outcome.membershipChanged = true
      outcome.record(.groupCreated, reason: .configured)
    }
    if added.isEmpty || effects.contains(where: { if case .publish = $0 { true } else { false } }) { return effects }
    // The new groups are news to the proxy even where nobody can serve yet.
    table.generation += 1
    return [.publish(table)] + effects
  }

  mutating func remove(_ name: GroupName, now: Instant) -> [Effect] {
    guard let position = index[name] else { return [] }
    groups.remove(at: position)
    deadlines.remove(at: position)
    table.groups.remove(at: position)
    index = Dictionary(uniqueKeysWithValues: groups.enumerated().map { ($1.name, $0) })
    table.generation += 1
    sequence += 1
    let decision = Decision(
      sequence: sequence, at: now, group: name, kind: .groupDeleted, from: nil, to: nil, reason: .operatorRequest(forced: false),
      evidence: [])
    return [.publish(table), .replaceProbePlan(probePlan), .record(decision)]
  }

  /// Applies a fact to some groups, lets each settle, and gathers what has to be done. The routing table goes out first: audit and
  /// probes can wait a microsecond, clients should not.
  mutating func change(_ positions: [Int], now: Instant, _ apply: (inout Group, inout Outcome) -> Void) -> [Effect] {
    var records: [Effect] = []
    var probesNow: Set<MemberKey> = []
    var lookUps: Set<DomainName> = []
    var tableChanged = false
    var planChanged = false
    for position in positions {
      var outcome = Outcome()
      apply(&groups[position], &outcome)
      groups[position].settle(now: now, into: &outcome)
      deadlines[position] = groups[position].deadline(after: now)
      let route = groups[position].route(now: now)
      if table.groups[position] != route {
        table.groups[position] = route
        tableChanged = true
      }
      planChanged = planChanged || outcome.membershipChanged
      probesNow.formUnion(outcome.probesNow)
      lookUps.formUnion(outcome.lookUps)
      for draft in outcome.decisions {
        sequence += 1
        records.append(
          .record(
            Decision(
              sequence: sequence, at: now, group: groups[position].name, kind: draft.kind, from: draft.from, to: draft.to,
              reason: draft.reason, evidence: draft.evidence)))
      }
    }
    var effects: [Effect] = []
    if tableChanged {
      table.generation += 1
      effects.append(.publish(table))
    }
    if planChanged { effects.append(.replaceProbePlan(probePlan)) }
    effects += probesNow.sorted().map(Effect.probeNow)
    effects += lookUps.sorted().map(Effect.lookUpNow)
    return effects + records
  }

  private var probePlan: [ProbeTarget] {
    groups.flatMap { group in
      group.members.map {
        ProbeTarget(member: MemberKey(group: group.name, backend: $0.id), address: $0.address, check: $0.check)
      }
    }
  }
}
