package import Model

/// Why a group is as it is. The rule is the one the election follows: `Group.ruling`, asked again.
extension Engine {
  package func explanation(of name: GroupName, at now: Instant) -> Explanation? {
    guard var group = self[name] else { return nil }
    // Groups hear of a suspicion when it concerns them. People want to know now.
    group.network = network.suspicion
    return Explainer(group: group, clock: wallClock, now: now).explanation
  }
}

private struct Explainer {
  let group: Group
  let clock: WallClock
  let now: Instant

  var explanation: Explanation {
    let ruling = group.ruling(at: now)
    let (rule, decision) = told(ruling)
    let shadow = group.specification.shadow ? "In shadow mode, traffic stays where it is. " : ""
    return Explanation(
      rule: rule, decision: shadow + decision, inputs: inputs, changes: changes(ruling), snapshot: group.snapshot(at: now))
  }

  // MARK: The rule

  private func told(_ ruling: Ruling) -> (rule: String, decision: String) {
    let primary = group.incumbent?.rawValue ?? "nobody"
    switch ruling {
    case .noPrimary:
      return ("all_serve", "Every healthy member serves: the group is in normal mode and nobody has named a primary.")
    case .awaitsFirstVerdicts:
      let awaited = group.awaits(group.remembered, now: now) ? group.remembered : nil
      let whom = awaited.map { "\($0), which led before the restart, has" } ?? "the members that come first have"
      return ("awaiting_first_verdicts", "Nobody is primary yet: \(whom) not been judged.")
    case .keeps where group.override != nil:
      return ("override_serves", "\(primary) is primary because \(chosen) it, and it can serve.")
    case .keeps:
      return ("primary_serves", "\(primary) stays primary: it can serve, and no rule prefers another.")
    case .keptByOverride(let reason):
      return (
        "override_waits", "\(primary) stays primary although it cannot serve (\(reason)): \(chosen) it. New connections wait."
      )
    case .nobodyEligible(let reason):
      return ("nobody_eligible", "New connections wait: no member can be the primary (\(reason)).")
    case .changes(let change):
      return ("change_is_due", "\(change.to) becomes primary: \(change.reason).")
    case .delayed(let change, .minimumInterval(let until)):
      return (
        "waiting_for_minimum_interval",
        "\(change.to) is to become primary (\(change.reason)), and has to wait \((until - now).text): changes keep their distance."
      )
    case .delayed(let change, .tooManyFailovers(let until)):
      return (
        "maximum_failovers_reached",
        "\(change.to) is to become primary (\(change.reason)), and has to wait \((until - now).text): there were too many changes."
      )
    case .delayed(let change, .network):
      return (
        "network_suspected",
        "\(change.to) is to become primary (\(change.reason)), and has to wait: this host's network is suspected."
      )
    }
  }

  private var chosen: String {
    guard let override = group.override else { return "" }
    return override.isConfigured ? "`pin` holds" : override.pin ? "a person pinned" : "a person chose"
  }

  // MARK: What went into it

  private var inputs: [Explanation.Input] {
    var inputs: [Explanation.Input] = []
    func add(_ name: String, _ value: String?, age: Duration? = nil) {
      if let value { inputs.append(Explanation.Input(name: name, value: value, age: age)) }
    }
    add("override", override)
    if group.hasLeadership {
      let lastChange = group.automaticChanges.instants.last
      add("minimum_interval", minimumInterval, age: lastChange.map { now - $0 })
      add("maximum_failovers", maximumFailovers, age: lastChange.map { now - $0 })
      let failback = group.failback(at: now)
      add("failback", failbackText(failback), age: failback.map { now - $0.readySince })
    }
    add("network", network, age: group.network.ended.map { now - $0 })
    add("shadow", shadow)
    return inputs
  }

  private var override: String? {
    guard let override = group.override else { return nil }
    let kinds = [override.force ? "forced" : nil, override.pin ? "pinned" : nil, override.isConfigured ? "by configuration" : nil]
    return ([override.backend.rawValue] + kinds.compactMap { $0 }).joined(separator: ", ")
  }

  private var minimumInterval: String {
    let minimum = group.specification.minimumInterval
    let doublings = group.automaticChanges.doublings(of: minimum, at: now)
    let factor = doublings > 0 ? " (\(minimum.text) × \(1 << doublings): the group flaps)" : ""
    let left = group.nextAllowedChange.map { $0 > now ? ", \(($0 - now).text) left" : ", over" } ?? ", never begun"
    return group.effectiveInterval(at: now).text + factor + left
  }

  private var maximumFailovers: String? {
    guard let limit = group.specification.maximumFailovers else { return nil }
    return "\(group.automaticChanges.count(within: limit.within, before: now)) of \(limit.count) in \(limit.within.text) used"
  }

  private func failbackText(_ snapshot: FailbackSnapshot?) -> String {
    let policy =
      switch group.specification.failback {
      case .manual: "manual"
      case .automatic(let after): "automatic after \(after.text)"
      }
    guard let snapshot else { return "\(policy), nobody to go back to" }
    let ready =
      "\(policy), \(snapshot.backend) ready for \((now - snapshot.readySince).text), \(snapshot.flaps) flaps in the last hour"
    return snapshot.due.map { $0 > now ? "\(ready), due in \(($0 - now).text)" : "\(ready), due" } ?? ready
  }

  private var network: String? {
    let network = group.network
    let size = "\(network.silent) of \(network.of) backends fell silent at once"
    if network.holds { return "suspected: \(size)" }
    return group.members.contains { group.deservesDoubt($0, at: now) } ? "works again: \(size), and may come back" : nil
  }

  private var shadow: String? {
    guard group.specification.shadow else { return nil }
    return group.shadowPrimary.map { "\($0) would be primary" } ?? "the primary would be the same"
  }

  // MARK: What would change it

  private func changes(_ ruling: Ruling) -> [String] {
    let person = "at any time, if a person chooses another primary"
    switch ruling {
    case .noPrimary: return ["if a person chooses a primary"]
    case .awaitsFirstVerdicts:
      return unsettled + ["\(time(group.electsAnyoneFrom)), when hold_timeout has passed: the first that can serve"]
    case .keeps: return ["if \(name(group.incumbent)) can serve no longer"] + failbackChanges + overrideChanges + [person]
    case .keptByOverride:
      return recoveries(of: group.incumbent.flatMap(group.member).map { [$0] } ?? []) + overrideChanges + [person]
    case .nobodyEligible: return recoveries(of: group.members)
    case .changes: return []
    case .delayed(_, let delay):
      let wait =
        switch delay {
        case .minimumInterval(let until): "\(time(until)), when minimum_interval ends"
        case .tooManyFailovers(let until): "\(time(until)), when the span of maximum_failovers has moved on"
        case .network: "as soon as backends answer again"
        }
      return [wait] + recoveries(of: group.incumbent.flatMap(group.member).map { [$0] } ?? []) + [person]
    }
  }

  private var failbackChanges: [String] {
    guard let failback = group.failback(at: now) else { return [] }
    if let due = failback.due { return ["\(time(due)), when \(failback.backend) takes over again"] }
    return group.override == nil ? ["if a person chooses \(failback.backend), which is named as the primary and ready"] : []
  }

  private var overrideChanges: [String] { group.override == nil ? [] : ["if a person lifts the choice of primary"] }

  private var unsettled: [String] {
    group.members.filter { !$0.isSettled(at: now) }.prefix(8).map { "when \($0.id) has been judged" }
  }

  /// What stands in the way of each, as something that can end.
  private func recoveries(of members: [Member]) -> [String] {
    members.prefix(8).compactMap { member in
      switch member.obstacle(at: now) {
      case nil: nil
      case .drained, .drainedByOperator: "if \(member.id) is no longer drained"
      case .degraded: "if \(member.id)'s score recovers"
      case .maintenance, .drainedByWindow: "if the maintenance of \(member.id) ends"
      case .notProbed, .down: "if \(member.id)'s probes pass"
      case .replica: "if \(member.id) is promoted"
      case .roleUnknown: "if \(member.id) proves that it is writable"
      }
    }
  }

  private func name(_ id: BackendID?) -> String { id?.rawValue ?? "the primary" }

  /// `at 14:03:10`, in UTC; `in 12s` where nobody has told what the clock says.
  private func time(_ instant: Instant) -> String {
    guard let wall = clock.wall(at: instant) else { return "in \(max(.zero, instant - now).text)" }
    let day: Int64 = 86_400
    let second = ((wall.milliseconds / 1000) % day + day) % day
    let parts = [second / 3600, second / 60 % 60, second % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }
    return "at \(parts.joined(separator: ":"))"
  }
}
