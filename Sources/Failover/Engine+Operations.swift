package import Model

/// A maintenance window, and where it stands.
package struct WindowSnapshot: Hashable, Sendable {
  package enum State: String, Hashable, Sendable {
    case waiting, draining, active
    /// This occurrence is not carried out: nobody else could have served.
    case cancelled
    case over
  }

  package let window: MaintenanceWindow
  package let state: State
  /// Of the occurrence that runs, or of the next; nil when it is over.
  package let nextStart: WallTime?
  /// Why the last occurrence was cancelled.
  package let reason: String?

  package init(window: MaintenanceWindow, state: State, nextStart: WallTime?, reason: String? = nil) {
    self.window = window
    self.state = state
    self.nextStart = nextStart
    self.reason = reason
  }
}

/// What people ask of backends, members and windows. Like `Engine+Commands.swift`: a refusal has changed nothing.
extension Engine {
  /// No new connections for the backend, in all groups that have it; its sessions end at their quiet points, at the latest after
  /// `drain_timeout`. Draining twice is no error.
  package mutating func drain(_ backend: BackendID, now: Instant) throws(CommandError) -> [Effect] {
    let positions = positions(having: backend)
    if positions.isEmpty { throw .unknownBackend(backend) }
    return change(positions, now: now) { group, outcome in
      if group.order(.drainedByOperator, for: backend) {
        outcome.record(.drained, to: backend, reason: .operatorRequest(forced: false))
      }
    }
  }

  /// Also of a backend that is not there any more, in groups where it was drained.
  package mutating func undrain(_ backend: BackendID, now: Instant) throws(CommandError) -> [Effect] {
    let positions = positions(having: backend)
    if positions.isEmpty { throw .unknownBackend(backend) }
    return change(positions, now: now) { group, outcome in
      if group.countermand(.drainedByOperator, for: backend) {
        outcome.record(.undrained, to: backend, reason: .operatorRequest(forced: false))
      }
    }
  }

  /// All groups are looked through: this is what a person asked, and not an event.
  func positions(having backend: BackendID) -> [Int] {
    slots.indices.filter { position in
      guard let group = slots[position]?.group else { return false }
      return group.position(backend) != nil || group.standingOrders[backend] != nil
    }
  }

  /// A member beside those that configuration and DNS describe. It stays when these are read again.
  package mutating func addMember(
    _ source: MemberSource, to group: GroupName, now: Instant
  ) throws(CommandError) -> [Effect] {
    guard let position = index[group], let current = slots[position]?.group else { throw .unknownGroup(group) }
    if let present = current.present(source) { throw .memberExists(present, of: group) }
    return changeSources(of: position, now: now) { $0.add(source, now: now, into: &$1) }
  }

  /// Takes out what `addMember` or the request that made the group brought in: a fixed backend by its id, a domain by its name.
  package mutating func removeMember(
    _ backend: BackendID, from group: GroupName, now: Instant
  ) throws(CommandError) -> [Effect] {
    guard let position = index[group], let current = slots[position]?.group else { throw .unknownGroup(group) }
    guard current.isRemovable(backend) else {
      let isKnown = current.position(backend) != nil || current.specification.members.contains { $0.backend == backend }
      throw isKnown ? .memberIsDescribed(backend, of: group) : .notAMember(backend, of: group)
    }
    return changeSources(of: position, now: now) { $0.removeSource(of: backend, now: now, into: &$1) }
  }

  private mutating func changeSources(
    of position: Int, now: Instant, _ apply: (inout Group, inout Outcome) -> Void
  ) -> [Effect] {
    var round = Round()
    unregister(position, from: slots[position]?.group.sourceDomains ?? [])
    change(position, now: now, in: &round, apply)
    register(position, for: slots[position]?.group.sourceDomains ?? [])
    return finish(round)
  }

}
