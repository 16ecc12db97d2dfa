import Model

/// What one event led to within a group, before the engine numbers and orders it.
struct Outcome {
  struct Draft {
    let kind: Decision.Kind
    let from: BackendID?
    let to: BackendID?
    let reason: Reason
    let evidence: [String]
    var detection: Duration?
  }

  var decisions: [Draft] = []
  var probesNow: Set<MemberKey> = []
  var lookUps: Set<DomainName> = []
  var membershipChanged = false

  mutating func record(
    _ kind: Decision.Kind, from: BackendID? = nil, to: BackendID? = nil, reason: Reason, evidence: [String] = [],
    detection: Duration? = nil
  ) {
    decisions.append(Draft(kind: kind, from: from, to: to, reason: reason, evidence: evidence, detection: detection))
  }
}

/// What one event led to in all the groups it touched.
struct Round {
  var changed: [GroupRoute] = []
  var removed: [GroupName] = []
  var probes: [(group: GroupName, targets: [ProbeTarget])] = []
  var probesNow: Set<MemberKey> = []
  var lookUps: Set<DomainName> = []
  /// `.remember` and `.forget`, in the order in which the groups changed.
  var memories: [Effect] = []
  var records: [Decision] = []

  /// The routes go out first: audit and probes can wait a microsecond, clients should not. What is to be kept over a restart comes
  /// before the records that tell of it: a record that survives a crash must not speak of a state that did not.
  func effects(generation: UInt64) -> [Effect] {
    var effects: [Effect] = []
    if changesRoutes { effects.append(.publish(RoutingChange(generation: generation, changed: changed, removed: removed))) }
    effects += probes.map { .replaceProbes(of: $0.group, with: $0.targets) }
    effects += probesNow.sorted().map(Effect.probeNow)
    effects += lookUps.sorted().map(Effect.lookUpNow)
    return effects + memories + records.map(Effect.record)
  }

  var changesRoutes: Bool { !changed.isEmpty || !removed.isEmpty }
}
