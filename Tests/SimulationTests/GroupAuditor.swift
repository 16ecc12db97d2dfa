import Failover
import Model

/// What one group's facts were, seen from outside, and what its decisions must look like given them.
struct GroupAuditor {
  /// What was heard about one member. A second, simpler account of what the engine's `Health` and `Member` keep.
  private struct Heard {
    var passes = 0
    var failures = 0
    var signals = 0
    var role: Role = .unknown
    var roleAt: Instant?
    var eligibleSince: Instant?
    /// Since when no authoritative answer names it.
    var absentSince: Instant?
    /// Since when DNS wants it drained.
    var drainedSince: Instant?
    /// The last source that named it, in the order of the configuration.
    var lastOrigin: MemberSource.Origin?
    var lastFailure: ProbeFailure.Kind?
    var timeline: UInt32?
    var lag: Duration?
  }

  /// What goes on around the group.
  struct Surroundings {
    /// This host may have lost its network.
    var isSuspected = false
    /// Backends in whose windows the drain, or the maintenance, has begun.
    var draining: Set<BackendID> = []
    var inMaintenance: Set<BackendID> = []
  }

  private struct Choice {
    let backend: BackendID
    var force: Bool
    let pin: Bool
  }

  private enum Claim: Equatable {
    case api
    case described
    case dissolving(Leaving)
  }

  private var specification: GroupSpecification
  private let holdRemoved: Duration
  private var claim: Claim
  private var electsAnyoneBy: Instant
  private var heard: [BackendID: Heard] = [:]
  /// What the last authoritative answer for each source leads to.
  private var answers: [MemberSource.Origin: [SocketAddress: DiscoveredEndpoint]] = [:]
  private var choice: Choice?
  /// Changes that nobody asked for, oldest first.
  private var automaticChanges: [Instant] = []
  private var drained: Set<BackendID> = []
  /// Sources that a person added to a described group.
  private var added: [MemberSource] = []
  /// Who led in the last run; until somebody is elected in this one.
  private var ledBefore: BackendID?
  private var holding = false
  private var hasServed = false
  private var surroundings = Surroundings()

  init(_ specification: GroupSpecification, isDescribed: Bool, holdRemoved: Duration, now: Instant) {
    self.specification = specification
    self.holdRemoved = holdRemoved
    claim = isDescribed ? .described : .api
    electsAnyoneBy = now + specification.holdTimeout
  }

  mutating func describe(_ new: GroupSpecification, now: Instant) {
    if claim == .api { return }
    claim = .described
    let isMarked = new.members.contains(where: \.isPrimary)
    if specification.mode != new.mode, new.mode == .normal, !isMarked, choice == nil { ledBefore = nil }
    specification = new
    specification.members += added
    electsAnyoneBy = max(electsAnyoneBy, now + new.holdTimeout)
    let origins = Set(specification.members.map(\.origin))
    answers = answers.filter { origins.contains($0.key) }
    heard = heard.mapValues { known in
      var known = known
      if let last = known.lastOrigin, !origins.contains(last) { known.lastOrigin = nil }
      return known
    }
  }

  /// What an earlier run left behind. Times may have been cut to milliseconds, and count from now on at the latest.
  mutating func restore(_ memory: GroupMemory, now: Instant, _ instant: (Int64) -> Instant?) {
    automaticChanges = memory.automaticChanges.compactMap { instant($0).map { min($0, now) } }.sorted()
    if let override = memory.override {
      choice = Choice(backend: BackendID(override.backend), force: override.force, pin: override.pin)
    }
    drained = Set(memory.drained.map(BackendID.init(_:)))
    ledBefore = memory.primary.map(BackendID.init(_:))
    // It was another kind of group when it had a primary that nobody chose.
    if specification.mode == .normal, !specification.members.contains(where: \.isPrimary), choice == nil { ledBefore = nil }
  }

  mutating func dissolve(_ leaving: Leaving) {
    if claim != .api { claim = .dissolving(leaving) }
  }

  var expectedAddresses: Set<SocketAddress> {
    Set(
      specification.members.flatMap { source -> [SocketAddress] in
        if case .fixed(_, let address) = source.origin { [address] } else { answers[source.origin].map { Array($0.keys) } ?? [] }
      })
  }

  /// A group goes only when nobody wants it, and then not before its members, unless it was to go at once.
  mutating func farewellViolations(_ input: Input, _ before: Group?, _ now: Instant) -> [String] {
    guard case .dissolving(let leaving) = claim else { return ["\(specification.name): is gone"] }
    if leaving == .atOnce { return [] }
    listen(to: input, before: before, now: now)
    return (before?.members ?? []).compactMap { member in
      if case .removed(member.id, _) = input { return nil }
      return mayGo(member, now) ? nil : "\(specification.name): \(member.id) went with its group too early"
    }
  }

  mutating func check(
    _ input: Input, before: Group?, after: Group, records: [Decision], route: GroupRoute?, _ surroundings: Surroundings,
    now: Instant
  ) -> [String] {
    self.surroundings = surroundings
    listen(to: input, before: before, now: now)
    noteAbsence(after, now: now)
    for member in after.members {
      let eligible = member.obstacle(at: now) == nil
      let since = heard[member.id]?.eligibleSince
      heard[member.id, default: Heard()].eligibleSince = eligible ? since ?? now : nil
    }
    var wrong = healthViolations(before, after) + membershipViolations(input, before, after, now)
    wrong += attributeViolations(after, route)
    wrong += changeViolations(input, before, after, records, now)
    wrong += holdViolations(after, records)
    if let route {
      wrong += routeViolations(after, route, now)
      wrong += shareViolations(after, route) + lagViolations(after, route)
      wrong += windowViolations(after, records, now)
      let role: ListenerRole = specification.mode == .activePassive ? .primary : .any
      hasServed = hasServed || !route.serving(role).isEmpty
    } else {
      wrong.append("the group has no route")
    }
    if isDissolving {
      // Who left meanwhile comes back with an answer, not with the description.
      let addresses = Set(after.members.map(\.address))
      answers = answers.mapValues { $0.filter { addresses.contains($0.key) } }
    }
    let present = Set(after.members.map(\.id))
    heard = heard.filter { present.contains($0.key) }
    return wrong.map { "\(specification.name): \($0)" }
  }

  // MARK: Facts

  private mutating func listen(to input: Input, before: Group?, now: Instant) {
    switch input {
    case .event(.probeFinished(let report)):
      guard report.member.group == specification.name, before?.member(report.member.backend) != nil else { return }
      hear(report.outcome, of: report.member.backend, now: now)
    case .event(.dataPathFailed(let signal)):
      guard signal.member.group == specification.name, signal.kind != .closed else { return }
      heard[signal.member.backend, default: Heard()].signals += 1
    case .event(.discoveryUpdated(let update)):
      listen(to: update, before: before, now: now)
    case .setPrimary(specification.name, let backend, let force, let pin):
      let needsForce = before?.member(backend)?.obstacle(at: now) != nil
      choice = Choice(backend: backend, force: force && needsForce, pin: pin)
    case .lifted(specification.name): choice = nil
    case .drained(let backend): if before?.member(backend) != nil { drained.insert(backend) }
    case .undrained(let backend): drained.remove(backend)
    case .added(let source, to: specification.name):
      specification.members.append(source)
      electsAnyoneBy = max(electsAnyoneBy, now + specification.holdTimeout)
      if claim != .api { added.append(source) }
    case .removed(let backend, from: specification.name):
      let goes: (MemberSource) -> Bool = { if case .fixed(backend, _) = $0.origin { true } else { false } }
      specification.members.removeAll(where: goes)
      electsAnyoneBy = max(electsAnyoneBy, now + specification.holdTimeout)
      added.removeAll(where: goes)
    case .event(.deadlineReached), .event(.groupsConfigured), .event(.groupsChanged), .event(.windowsConfigured),
      .event(.wallClockRead), .event(.remembered), .setPrimary, .lifted, .added, .removed, .scheduled, .cancelled, .created,
      .deleted:
      break
    }
  }

  private mutating func hear(_ outcome: ProbeOutcome, of id: BackendID, now: Instant) {
    var known = heard[id] ?? Heard()
    switch outcome {
    case .passed(_, let role, let replication):
      known.passes += 1
      known.failures = 0
      known.signals = 0
      if let role {
        known.timeline = replication?.timeline
        known.lag = replication?.lagTime
        known.role = role
        known.roleAt = now
      }
    case .failed(let failure) where failure.kind == .local:
      break
    case .failed(let failure):
      known.failures += 1
      known.passes = 0
      known.lastFailure = failure.kind
    }
    heard[id] = known
  }

  private mutating func listen(to update: DiscoveryUpdate, before: Group?, now: Instant) {
    var endpoints: [DiscoveredEndpoint] = []
    switch update.outcome {
    case .answer(let found):
      let ranges = specification.allowedRanges
      endpoints = found.filter { endpoint in ranges.isEmpty || ranges.contains { $0.contains(endpoint.address) } }
      if endpoints.isEmpty && !found.isEmpty { return }
    case .empty: break
    case .failed: return
    }
    for case .domain(update.domain, let port) in specification.members.map(\.origin) {
      let origin = MemberSource.Origin.domain(update.domain, port: port)
      let old = answers[origin] ?? [:]
      var new: [SocketAddress: DiscoveredEndpoint] = [:]
      for endpoint in endpoints {
        guard let port = endpoint.port ?? port else { continue }
        new[.ip(endpoint.address, port: port)] = endpoint
      }
      let offered = new
      // While nobody describes the group, a name may take away and not add.
      if claim != .described && claim != .api { new = old.filter { new[$0.key] != nil } }
      answers[origin] = new
      guard update.isDrained else { continue }
      for member in before?.members ?? [] where !isNamed(member.address) && offered[member.address] == nil {
        if old[member.address] != nil || heard[member.id]?.lastOrigin == origin {
          let since = heard[member.id]?.drainedSince ?? now
          heard[member.id, default: Heard()].drainedSince = since
        }
      }
    }
  }

  private mutating func noteAbsence(_ group: Group, now: Instant) {
    for member in group.members {
      let isNamed = !isDissolving && isNamed(member.address)
      var known = heard[member.id] ?? Heard()
      known.absentSince = isNamed ? nil : known.absentSince ?? now
      if isNamed { known.drainedSince = nil }
      // Also while the group dissolves: who names a member last is who can drain it.
      if let last = specification.members.first(where: { names($0, member.address) }) { known.lastOrigin = last.origin }
      heard[member.id] = known
    }
  }

  private var isDissolving: Bool { if case .dissolving = claim { true } else { false } }

  private func names(_ source: MemberSource, _ address: SocketAddress) -> Bool {
    if case .fixed(_, let fixed) = source.origin { fixed == address } else { answers[source.origin]?[address] != nil }
  }

  private func isNamed(_ address: SocketAddress) -> Bool { specification.members.contains { names($0, address) } }

  /// Whether nothing wants the member any more and its time is over, or it is down.
  private func mayGo(_ member: Member, _ now: Instant) -> Bool {
    if !isDissolving && isNamed(member.address) { return false }
    let known = heard[member.id] ?? Heard()
    // Whoever leaves in the very step that stops naming it is not in the group any more; its absence then began now.
    let failed = member.health.isDown || known.failures + known.signals >= member.check.unhealthyThreshold
    return failed || due(known, now) <= now
  }

  private func due(_ known: Heard, _ now: Instant) -> Instant {
    if let since = known.drainedSince { return since + holdRemoved + specification.drainTimeout }
    return (known.absentSince ?? now) + holdRemoved
  }

  // MARK: Judgement

  private func healthViolations(_ before: Group?, _ after: Group) -> [String] {
    var wrong: [String] = []
    for member in after.members {
      guard let known = heard[member.id] else { continue }
      let old = before?.member(member.id)
      let limit = member.check.unhealthyThreshold
      if known.failures >= limit && !member.health.isDown {
        wrong.append("\(member.id) failed \(known.failures) times and is not down")
      }
      if member.health.isDown, old?.health.isDown == false {
        if known.failures + known.signals < limit { wrong.append("\(member.id) is down too early") }
        if known.failures == 0 && limit > 1 { wrong.append("\(member.id) is down on clients' word alone") }
      }
      if member.health.isUp, old?.health.isUp != true {
        let needed = old?.health.isDown == true ? member.check.healthyThreshold : 1
        if known.passes < needed { wrong.append("\(member.id) is up too early") }
      }
    }
    return wrong
  }

  private func membershipViolations(_ input: Input, _ before: Group?, _ after: Group, _ now: Instant) -> [String] {
    var wrong: [String] = []
    for member in before?.members ?? [] where after.member(member.id) == nil {
      if case .event(.groupsConfigured(_, leaving: .atOnce)) = input, !isNamed(member.address) { continue }
      if case .removed = input, !isNamed(member.address) { continue }
      if case .added = input, !isNamed(member.address) { continue }
      if !mayGo(member, now) { wrong.append("\(member.id) was removed too early") }
    }
    for member in after.members {
      guard let known = heard[member.id], known.absentSince != nil else { continue }
      if due(known, now) <= now { wrong.append("\(member.id) should be gone") }
    }
    if case .event(.discoveryUpdated(let update)) = input, case .failed = update.outcome, let before {
      if before.members.map(\.id) != after.members.map(\.id) { wrong.append("a failed lookup changed the members") }
    }
    return wrong
  }

  private func attributeViolations(_ after: Group, _ route: GroupRoute?) -> [String] {
    var wrong: [String] = []
    for member in after.members {
      let isDrained = heard[member.id]?.drainedSince != nil
      let sources = isDissolving ? [] : specification.members.filter { names($0, member.address) }
      if let source = sources.first {
        if member.tier != answers[source.origin]?[member.address]?.tier ?? 0 { wrong.append("\(member.id) is in another tier") }
        let isOut = sources.contains { $0.maintenance } || surroundings.inMaintenance.contains(member.id)
        if (member.administrative == .maintenance) != isOut { wrong.append("\(member.id) is \(member.administrative)") }
      }
      let isOrderedOut = drained.contains(member.id) || surroundings.draining.contains(member.id)
      let isInMaintenance = sources.contains { $0.maintenance } || surroundings.inMaintenance.contains(member.id)
      guard isDrained || isOrderedOut || isInMaintenance else {
        if !sources.isEmpty, member.administrative != .inService {
          wrong.append("\(member.id) is out of service, and nobody wants it")
        }
        continue
      }
      let standing = route?.members.first { $0.backend == member.id }?.standing
      if ListenerRole.allCases.contains(where: { standing?[$0] == .serve }) {
        wrong.append("\(member.id) is \(isDrained || isOrderedOut ? "drained" : "in maintenance") and serves")
      }
    }
    return wrong
  }

  private mutating func changeViolations(
    _ input: Input, _ before: Group?, _ after: Group, _ records: [Decision], _ now: Instant
  ) -> [String] {
    var wrong: [String] = []
    let changes = records.filter { $0.kind.changesPrimary || $0.kind == .elected }
    var expected = before?.leader == after.leader ? 0 : 1
    // A group that became a normal one has no primary any more.
    if case .event(.groupsConfigured) = input, after.leader == nil { expected = 0 }
    // Who led before a restart may be found again when it is time to go back from it, or after another one was promoted.
    if changes.count == 2, changes[0].kind == .elected, changes[0].to == ledBefore, changes[1].kind != .manual { expected = 2 }
    // It leads on without a word when a person chooses it, and while it waits to be replaced.
    if changes.isEmpty, before?.leader == nil, let ledBefore, after.leader == ledBefore,
      isChosen(ledBefore, by: input) || !isAble(ledBefore, after, now)
    {
      expected = 0
    }
    if changes.count != expected { wrong.append("\(changes.count) records of a change of primary") }
    var leader = before?.leader ?? ledBefore
    for change in changes {
      if change.from != (change.kind == .elected ? nil : leader) { wrong.append("the record names others") }
      leader = change.to
    }
    if !changes.isEmpty, leader != after.leader { wrong.append("the record names others") }
    for change in changes {
      if change.evidence.isEmpty { wrong.append("the record has no evidence") }
      wrong += justificationViolations(change, before, after, now)
      if change.kind == .failover || change.kind == .failback, !Self.isAskedFor(change) { automaticChanges.append(now) }
      if change.kind != .manual, change.to != choice?.backend { choice = nil }
    }
    if after.leader != nil { ledBefore = nil }
    for record in records where record.kind == .shadowed {
      if !specification.shadow { wrong.append("something is only said, and there is no shadow mode") }
      wrong += spacingViolations(record, now)
      if !Self.isAskedFor(record) { automaticChanges.append(now) }
    }
    endChoice(after, now)
    if let choice, let leader = after.leader, leader != choice.backend { wrong.append("the operator's choice is not the primary") }
    return wrong
  }

  private func justificationViolations(_ change: Decision, _ before: Group?, _ after: Group, _ now: Instant) -> [String] {
    var wrong: [String] = []
    let old = change.from.flatMap { after.member($0) }
    let new = change.to.flatMap { after.member($0) }
    // After a restart, a person's choice leads again before it can serve.
    let isChosen =
      change.kind == .manual
      || (change.kind == .elected && choice?.backend == change.to && choice.map { $0.pin || $0.force } ?? false)
    if new?.obstacle(at: now) != nil && !isChosen { wrong.append("\(change.kind) to somebody who is not eligible") }
    if change.kind == .failover || change.kind == .failback {
      wrong += spacingViolations(change, now)
      if specification.shadow { wrong.append("a group in shadow mode moved by itself") }
      if surroundings.isSuspected { wrong.append("\(change.kind) while this host's network is suspected") }
      let latest = after.members.compactMap { $0.obstacle(at: now) == nil ? heard[$0.id]?.timeline : nil }.max()
      if let latest, let own = new.flatMap({ heard[$0.id]?.timeline }), own < latest {
        wrong.append("\(change.kind) to an older timeline")
      }
      // A choice outlives everything but the loss of its backend.
      if let choice, let chosen = after.member(choice.backend), choice.pin || choice.force || chosen.obstacle(at: now) == nil {
        wrong.append("\(change.kind) against an operator")
      }
    }
    switch change.kind {
    case .failover where change.reason.label == "higher_timeline":
      let (own, other) = (old.flatMap { heard[$0.id]?.timeline }, new.flatMap { heard[$0.id]?.timeline })
      if own ?? .max >= other ?? 0 { wrong.append("failover to no later timeline") }
    case .elected:
      if let ledBefore, change.to != ledBefore { wrong.append("\(ledBefore) led before the restart, and another one is elected") }
    case .failover where change.reason == .designationMoved:
      if old?.designated == true || new?.designated == false { wrong.append("the designation did not move") }
      if old?.check.provesRole == true { wrong.append("a name overruled a member's word") }
    case .failover:
      if old?.obstacle(at: now) == nil && old != nil { wrong.append("failover away from a good primary") }
    case .failback:
      guard case .automatic(let delay) = specification.failback else { return wrong + ["failback, and it is manual"] }
      guard let since = new.flatMap({ heard[$0.id]?.eligibleSince }), now - since >= delay else {
        return wrong + ["failback too early"]
      }
    default: break
    }
    return wrong
  }

  private func isChosen(_ backend: BackendID, by input: Input) -> Bool {
    if case .setPrimary(specification.name, backend, _, _) = input { true } else { false }
  }

  private func isAble(_ backend: BackendID, _ group: Group, _ now: Instant) -> Bool {
    group.member(backend).map { $0.obstacle(at: now) == nil } ?? false
  }

  /// Changes that nobody asked for keep their distance from the last such change and are not too many.
  private func spacingViolations(_ change: Decision, _ now: Instant) -> [String] {
    if Self.isAskedFor(change) { return [] }
    var wrong: [String] = []
    if let lastChange = automaticChanges.last, now - lastChange < distance(after: lastChange) - Self.rounding {
      wrong.append("\(change.kind) too soon")
    }
    if let limit = specification.maximumFailovers, count(within: limit.within - Self.rounding, now) >= limit.count {
      wrong.append("\(change.kind), and maximum_failovers is reached")
    }
    return wrong
  }

  /// A person drained the primary, or planned its maintenance.
  private static func isAskedFor(_ change: Decision) -> Bool {
    if case .primaryOrderedOut = change.reason { true } else { false }
  }

  /// What is remembered over a restart is cut to milliseconds.
  private static let rounding = Duration.milliseconds(2)

  private func count(within span: Duration, _ now: Instant) -> Int { automaticChanges.count { now - $0 < span } }

  /// `minimum_interval`, doubled with each automatic change after the first within the last 512 of it, six times at most.
  private func distance(after change: Instant) -> Duration {
    let span = specification.minimumInterval * 512 - Self.rounding
    let recent = automaticChanges.suffix(7).count { $0 <= change && change - $0 < span }
    return specification.minimumInterval * (1 << max(0, recent - 1))
  }

  private mutating func endChoice(_ after: Group, _ now: Instant) {
    guard let current = choice else { return }
    guard let member = after.member(current.backend) else {
      // After a restart, its name may still have to be resolved.
      if after.leader == nil, after.override != nil, now < electsAnyoneBy { return }
      choice = nil
      return
    }
    if member.obstacle(at: now) == nil { choice?.force = false }
    if member.health.isDown || member.administrative != .inService, !current.force && !current.pin { choice = nil }
  }

  private mutating func holdViolations(_ after: Group, _ records: [Decision]) -> [String] {
    var wrong: [String] = []
    for record in records {
      switch record.kind {
      case .holdBegan:
        if holding { wrong.append("a hold began twice") }
        holding = true
      case .holdEnded:
        if !holding { wrong.append("a hold ended that never began") }
        holding = false
      default: break
      }
    }
    if after.holding != holding { wrong.append("a hold was not recorded") }
    return wrong
  }

  private func routeViolations(_ group: Group, _ route: GroupRoute, _ now: Instant) -> [String] {
    var wrong: [String] = []
    for id in route.serving(.primary) {
      guard let member = group.member(id), member.check.provesRole else { continue }
      let known = heard[id]
      let fresh = known?.roleAt.map { now - $0 <= member.check.roleLifetime } ?? false
      if known?.role != .primary || !fresh { wrong.append("writes go to \(id), which is not proved writable") }
    }
    switch group.specification.mode {
    case .activePassive: wrong += activePassiveViolations(group, route, now)
    case .normal: wrong += normalViolations(group, route)
    }
    return wrong
  }

  private func activePassiveViolations(_ group: Group, _ route: GroupRoute, _ now: Instant) -> [String] {
    let serving = route.serving(.primary)
    if serving.count > 1 { return ["\(serving.count) members serve at once"] }
    if let id = serving.first {
      let forced = choice?.backend == id && choice?.force == true
      let latest = group.members.compactMap { $0.obstacle(at: now) == nil ? heard[$0.id]?.timeline : nil }.max()
      if let latest, let own = heard[id]?.timeline, own < latest, group.override == nil, !mustWait(group, now) {
        return ["\(id) leads on an older timeline"]
      }
      return forced || group.member(id).map { isAble($0, now) } ?? false ? [] : ["\(id) serves and is not eligible"]
    }
    // Nobody serves: that needs an excuse.
    if group.members.allSatisfy({ $0.obstacle(at: now) != nil }) { return [] }
    if let choice, choice.pin || choice.force { return [] }
    if group.override?.isConfigured == true || mustWait(group, now) { return [] }
    if group.leader == nil && now < electsAnyoneBy { return [] }
    return ["nobody serves although somebody could"]
  }

  /// Whether nobody but a person may change the primary now.
  private func mustWait(_ group: Group, _ now: Instant) -> Bool {
    if specification.shadow { return true }
    if let lastChange = automaticChanges.last, now < lastChange + distance(after: lastChange) { return true }
    if let limit = specification.maximumFailovers, count(within: limit.within, now) >= limit.count { return true }
    // How long this host is suspected afterwards is taken on the engine's word here.
    return surroundings.isSuspected || group.snapshot(at: now).suspension != nil
  }

  private func normalViolations(_ group: Group, _ route: GroupRoute) -> [String] {
    let serving = Set(route.serving(.any))
    let inService = group.members.filter { $0.administrative == .inService }
    var expected = inService.filter { $0.health.isUp }
    if expected.isEmpty {
      expected = inService.filter { if case .down(let failure) = $0.health.state { failure.kind == .timedOut } else { false } }
    }
    if let choice, choice.force, let forced = inService.first(where: { $0.id == choice.backend }) { expected.append(forced) }
    let lowest = expected.filter { $0.weight > 0 }.map(\.tier).min() ?? expected.map(\.tier).min()
    let ids = Set(expected.filter { $0.tier == lowest }.map(\.id))
    // Who works badly may stay out, not all of them.
    let optional = ids.filter { worksBadly(group.member($0)) }
    let isRight = serving.isSubset(of: ids) && serving.isSuperset(of: ids.subtracting(optional)) && serving.isEmpty == ids.isEmpty
    return isRight ? [] : ["\(serving.sorted()) serve instead of \(ids.sorted())"]
  }

  // MARK: Shares, lag, maintenance

  /// Above what the score has to be before anything is taken back.
  private static let hysteresis = 5

  private func worksBadly(_ member: Member?) -> Bool {
    guard let bound = specification.predictive?.ejectBelow, let score = member?.health.score else { return false }
    return score < bound + Self.hysteresis
  }

  private func isAble(_ member: Member, _ now: Instant) -> Bool {
    switch member.obstacle(at: now) {
    case nil, .degraded: true
    default: false
    }
  }

  /// Somebody who serves, and does not work so badly that it gets nothing, gets something.
  private func shareViolations(_ group: Group, _ route: GroupRoute) -> [String] {
    if route.members.contains(where: { $0.share > 100 }) { return ["a member has more than its whole share"] }
    // The traffic that shares divide. For other listeners they may be all zero: then they count for nothing.
    let role: ListenerRole = specification.mode == .normal ? .any : .replica
    let serving = route.members.filter { $0.standing[role] == .serve && $0.weight > 0 }
    if serving.isEmpty || serving.contains(where: { $0.share > 0 }) { return [] }
    let able = serving.first { route in
      guard let bound = specification.predictive?.degradeBelow, let score = group.member(route.backend)?.health.score else {
        return true
      }
      return score >= bound + Self.hysteresis
    }
    return able.map { ["\($0.backend) could serve, and nobody takes anything"] } ?? []
  }

  /// Replicas that are too far behind serve reads only among themselves.
  private func lagViolations(_ group: Group, _ route: GroupRoute) -> [String] {
    let lags = route.serving(.replica).compactMap { id -> Bool? in
      guard let member = group.member(id) else { return nil }
      guard case .time(let maximum) = member.check.maximumLag else { return false }
      return heard[id]?.lag.map { $0 > maximum } ?? false
    }
    return lags.contains(true) && lags.contains(false) ? ["reads go to a replica that is too far behind"] : []
  }

  private func windowViolations(_ group: Group, _ records: [Decision], _ now: Instant) -> [String] {
    records.compactMap { record in
      guard case .maintenanceWindow = record.reason, record.kind == .maintenanceBegan || record.kind == .drained else { return nil }
      guard hasServed, let backend = record.to, group.member(backend) != nil else { return nil }
      let isSpared = group.members.contains { other in
        let isPlain = other.health.isUp && other.administrative == .inService
        return other.id != backend && (specification.mode == .normal ? isPlain : isPlain && isAble(other, now))
      }
      return isSpared ? nil : "the maintenance of \(backend) begins, and nobody else could serve"
    }
  }
}
