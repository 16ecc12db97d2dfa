package import Model

/// How a choice of primary ends.
extension Group {
  /// It ends by itself when its backend is gone, or, unless it is forced or pinned, can serve no more.
  mutating func dropObsoleteOverride(now: Instant, into outcome: inout Outcome) {
    guard let current = override else { return }
    guard let member = member(current.backend) else {
      // After a restart, its name may still have to be resolved.
      if leader == nil, !unresolvedDomains.isEmpty, now < electsAnyoneFrom { return }
      endOverride(because: .primaryRemoved, into: &outcome)
      return
    }
    if current.isConfigured, !specification.pin || !member.designated {
      endOverride(because: specification.pin ? .designationMoved : .describedOtherwise(["pin"]), into: &outcome)
      return
    }
    if member.obstacle(at: now) == nil { override?.force = false }
    if member.health.isDown || member.administrative != .inService, !current.force && !current.pin {
      endOverride(because: reasonOfLoss(member, now: now), into: &outcome)
    }
  }

  mutating func endOverride(because reason: Reason, into outcome: inout Outcome) {
    guard let ended = override else { return }
    override = nil
    outcome.record(.overrideLifted, from: ended.backend, reason: reason)
  }

  /// `pin: true` was added while the designated primary leads.
  mutating func pinAsConfigured() {
    guard specification.pin, override == nil, let leader, member(leader)?.designated == true else { return }
    override = Override(backend: leader, force: false, pin: true, isConfigured: true)
  }
}

extension Engine {
  /// Takes back a choice of primary, a person's or that of `pin: true`. The group goes on from where it is.
  package mutating func liftOverride(of name: GroupName, now: Instant) throws(CommandError) -> [Effect] {
    guard let position = index[name], let group = slots[position]?.group else { throw .unknownGroup(name) }
    guard group.override != nil else { throw .noOverride(name) }
    return change([position], now: now) { $0.endOverride(because: .operatorRequest(forced: false), into: &$1) }
  }
}
