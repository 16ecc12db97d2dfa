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
    var lastFailure: ProbeFailure.Kind?
  }

  private struct Choice {
    let backend: BackendID
    var force: Bool
    let pin: Bool
  }

  private let specification: GroupSpecification
  private let holdRemoved: Duration
  private let created: Instant
  private var heard: [BackendID: Heard] = [:]
  private var answers: [DomainName: Set<IPAddress>] = [:]
  private var choice: Choice?
  private var lastChange: Instant?
  private var holding = false

  init(_ specification: GroupSpecification, holdRemoved: Duration, now: Instant) {
    self.specification = specification
    self.holdRemoved = holdRemoved
    created = now
  }

  mutating func check(
    _ input: Input, before: Group?, after: Group, records: [Decision], route: GroupRoute?, now: Instant
  ) -> [String] {
    listen(to: input, before: before, now: now)
    noteAbsence(after, now: now)
    for member in after.members {
      let eligible = member.obstacle(at: now) == nil
      let since = heard[member.id]?.eligibleSince
      heard[member.id, default: Heard()].eligibleSince = eligible ? since ?? now : nil
    }
    var wrong = healthViolations(before, after) + membershipViolations(before, after, now)
    wrong += changeViolations(before, after, records, now)
    wrong += holdViolations(after, records)
    if let route {
      wrong += routeViolations(after, route, now)
    } else {
      wrong.append("the group has no route")
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
      switch update.outcome {
      case .answer(let addresses): answers[update.domain] = Set(addresses)
      case .empty: answers[update.domain] = []
      case .failed: break
      }
    case .setPrimary(specification.name, let backend, let force, let pin):
      let needsForce = before?.member(backend)?.obstacle(at: now) != nil
      choice = Choice(backend: backend, force: force && needsForce, pin: pin)
    case .event(.deadlineReached), .event(.groupsConfigured), .setPrimary, .created, .deleted:
      break
    }
  }

  private mutating func hear(_ outcome: ProbeOutcome, of id: BackendID, now: Instant) {
    var known = heard[id] ?? Heard()
    switch outcome {
    case .passed(_, let role):
      known.passes += 1
      known.failures = 0
      known.signals = 0
      if let role {
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

  private mutating func noteAbsence(_ group: Group, now: Instant) {
    for member in group.members {
      let named = specification.members.contains { source in
        switch source.origin {
        case .fixed(_, let address): address == member.address
        case .domain(let domain, let port):
          answers[domain]?.contains { SocketAddress.ip($0, port: port) == member.address } ?? false
        }
      }
      let since = heard[member.id]?.absentSince
      heard[member.id, default: Heard()].absentSince = named ? nil : since ?? now
    }
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

  private func membershipViolations(_ before: Group?, _ after: Group, _ now: Instant) -> [String] {
    var wrong: [String] = []
    for member in before?.members ?? [] where after.member(member.id) == nil {
      // Whoever leaves in the very step that stops naming it is not in `after`; its absence then began now.
      let since = heard[member.id]?.absentSince ?? now
      let named = isNamed(member.address)
      let known = heard[member.id] ?? Heard()
      let failed = member.health.isDown || known.failures + known.signals >= member.check.unhealthyThreshold
      if named || (!failed && now - since < holdRemoved) { wrong.append("\(member.id) was removed too early") }
    }
    for member in after.members {
      if let since = heard[member.id]?.absentSince, now - since >= holdRemoved { wrong.append("\(member.id) should be gone") }
    }
    return wrong
  }

  private func isNamed(_ address: SocketAddress) -> Bool {
    specification.members.contains { source in
      switch source.origin {
      case .fixed(_, let fixed): fixed == address
      case .domain(let domain, let port): answers[domain]?.contains { SocketAddress.ip($0, port: port) == address } ?? false
      }
    }
  }

  private mutating func changeViolations(_ before: Group?, _ after: Group, _ records: [Decision], _ now: Instant) -> [String] {
    var wrong: [String] = []
    let changes = records.filter { $0.kind.changesPrimary || $0.kind == .elected }
    if changes.count != (before?.leader == after.leader ? 0 : 1) { wrong.append("\(changes.count) records of a change of primary") }
    for change in changes {
      if change.from != before?.leader || change.to != after.leader { wrong.append("the record names others") }
      if change.evidence.isEmpty { wrong.append("the record has no evidence") }
      wrong += justificationViolations(change, before, after, now)
      if change.kind.changesPrimary { lastChange = now }
      if change.kind != .manual { choice = nil }
    }
    endChoice(after, now)
    if let choice, after.leader != choice.backend { wrong.append("the operator's choice is not the primary") }
    return wrong
  }

  private func justificationViolations(_ change: Decision, _ before: Group?, _ after: Group, _ now: Instant) -> [String] {
    var wrong: [String] = []
    let old = before?.leader.flatMap { after.member($0) }
    let new = change.to.flatMap { after.member($0) }
    if new?.obstacle(at: now) != nil && change.kind != .manual { wrong.append("\(change.kind) to somebody who is not eligible") }
    if change.kind == .failover || change.kind == .failback {
      if let lastChange, now - lastChange < specification.minimumInterval { wrong.append("\(change.kind) too soon") }
      // A choice outlives everything but the loss of its backend.
      if let choice, let chosen = after.member(choice.backend), choice.pin || choice.force || chosen.obstacle(at: now) == nil {
        wrong.append("\(change.kind) against an operator")
      }
    }
    switch change.kind {
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

  private mutating func endChoice(_ after: Group, _ now: Instant) {
    guard let current = choice else { return }
    guard let member = after.member(current.backend) else {
      choice = nil
      return
    }
    if member.obstacle(at: now) == nil { choice?.force = false }
    if member.health.isDown && !current.force && !current.pin { choice = nil }
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
      return forced || group.member(id)?.obstacle(at: now) == nil ? [] : ["\(id) serves and is not eligible"]
    }
    // Nobody serves: that needs an excuse.
    if group.members.allSatisfy({ $0.obstacle(at: now) != nil }) { return [] }
    if let choice, choice.pin || choice.force { return [] }
    if let lastChange, now - lastChange < specification.minimumInterval { return [] }
    if group.leader == nil && now - created < specification.holdTimeout { return [] }
    return ["nobody serves although somebody could"]
  }

  private func normalViolations(_ group: Group, _ route: GroupRoute) -> [String] {
    let serving = Set(route.serving(.any))
    var expected = Set(group.members.filter { $0.health.isUp }.map(\.id))
    if expected.isEmpty {
      expected = Set(
        group.members.filter { if case .down(let failure) = $0.health.state { failure.kind == .timedOut } else { false } }.map(\.id)
      )
    }
    if let choice, choice.force { expected.insert(choice.backend) }
    return serving == expected ? [] : ["\(serving.sorted()) serve instead of \(expected.sorted())"]
  }
}
