package import Model

/// Why a request of a person is refused. It has changed nothing then. (A dry run is the same request on a copy of the engine.)
package enum CommandError: Error, Hashable, Sendable, CustomStringConvertible {
  case unknownGroup(GroupName)
  case groupExists(GroupName)
  case notAMember(BackendID, of: GroupName)
  case notEligible(BackendID, Member.Ineligibility)
  case unknownBackend(BackendID)
  case memberExists(BackendID, of: GroupName)
  /// The file or DNS names it there; only they can take it out.
  case memberIsDescribed(BackendID, of: GroupName)
  case windowExists(String)
  case unknownWindow(String)
  /// Windows of the file are changed there.
  case windowIsConfigured(String)
  case noOverride(GroupName)

  package var description: String {
    switch self {
    case .unknownGroup(let name): "there is no group '\(name)'"
    case .groupExists(let name): "the group '\(name)' exists already"
    case .notAMember(let id, let group): "'\(id)' is not a member of '\(group)'"
    case .unknownBackend(let id): "no group has a backend '\(id)'"
    case .memberExists(let id, let group): "'\(id)' is a member of '\(group)' already"
    case .memberIsDescribed(let id, let group):
      "'\(id)' is in '\(group)' because the configuration or DNS says so; take it out there, or drain it"
    case .windowExists(let id): "there is a maintenance window '\(id)' already"
    case .unknownWindow(let id): "there is no maintenance window '\(id)'"
    case .windowIsConfigured(let id): "the maintenance window '\(id)' is in the configuration file; change it there"
    case .noOverride(let group): "nobody has chosen the primary of '\(group)': there is nothing to lift"
    case .notEligible(let id, let why): "'\(id)' cannot be the primary (\(why)); set \"force\" to choose it all the same"
    }
  }
}

extension Engine {
  package mutating func createGroup(
    _ specification: GroupSpecification, now: Instant
  ) throws(CommandError) -> [Effect] {
    guard index[specification.name] == nil else { throw .groupExists(specification.name) }
    var round = Round()
    add(Group(specification, claim: .api, host: host, now: now), now: now, in: &round)
    return finish(round)
  }

  package mutating func deleteGroup(_ name: GroupName, now: Instant) throws(CommandError) -> [Effect] {
    guard let position = index[name] else { throw .unknownGroup(name) }
    var round = Round()
    drop(position, because: .operatorRequest(forced: false), now: now, in: &round)
    return finish(round)
  }

  /// Makes `backend` the primary of `name`. It stays so against every automatic input until it fails, is removed, or somebody chooses again.
  ///
  /// - Parameters:
  ///   - force: choose it although it is not eligible, and keep it until it was. A member whose role has to be proved still gets no
  ///     traffic before it is: this is how to wait for a promotion.
  ///   - pin: no automatic failover away from it either: when it fails, the group waits.
  package mutating func setPrimary(
    of name: GroupName, to backend: BackendID, force: Bool = false, pin: Bool = false, now: Instant
  ) throws(CommandError) -> [Effect] {
    guard let position = index[name], let group = slots[position]?.group else { throw .unknownGroup(name) }
    guard let member = group.member(backend) else { throw .notAMember(backend, of: name) }
    if let obstacle = member.obstacle(at: now), !force { throw .notEligible(backend, obstacle) }
    return change([position], now: now) { group, outcome in
      group.override = Group.Override(backend: backend, force: force, pin: pin)
      group.shadowPrimary = nil
      // Whoever led before the restart is who is replaced.
      group.resume()
      if group.leader != backend {
        group.install(member, kind: .manual, reason: .operatorRequest(forced: force), now: now, into: &outcome)
      }
    }
  }
}
