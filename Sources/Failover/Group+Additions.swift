import Model

/// Members that were added by request: they are laid over what configuration and DNS describe, and stay when these change.
extension Group {
  /// The member, or the name, by which the source is here already.
  func present(_ source: MemberSource) -> BackendID? {
    switch source.origin {
    case .fixed(let id, let address):
      if position(id) != nil || specification.members.contains(where: { $0.backend == id }) { return id }
      return members.first { $0.address == address }?.id
    case .domain:
      return specification.members.contains { $0.origin == source.origin } ? source.backend : nil
    }
  }

  func isRemovable(_ backend: BackendID) -> Bool {
    (claim == .api ? specification.members : added).contains { $0.backend == backend }
  }

  mutating func add(_ source: MemberSource, now: Instant, into outcome: inout Outcome) {
    var new = specification
    new.members.append(source)
    if claim != .api { added.append(source) }
    changeSources(to: new, now: now, into: &outcome)
  }

  mutating func removeSource(of backend: BackendID, now: Instant, into outcome: inout Outcome) {
    var new = specification
    let first = claim == .api ? 0 : new.members.count - added.count
    new.members = new.members.enumerated().filter { $0 < first || $1.backend != backend }.map(\.element)
    added.removeAll { $0.backend == backend }
    changeSources(to: new, now: now, into: &outcome)
  }

  private mutating func changeSources(to new: GroupSpecification, now: Instant, into outcome: inout Outcome) {
    outcome.record(.groupChanged, from: leader, to: leader, reason: .operatorRequest(forced: false))
    follow(new, leaving: .atOnce, now: now, into: &outcome)
  }
}

extension MemberSource {
  /// What a request calls it: its id, or the name it is found by.
  var backend: BackendID {
    switch origin {
    case .fixed(let id, _): id
    case .domain(let domain, _): BackendID(domain.rawValue)
    }
  }
}
