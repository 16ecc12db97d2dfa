import ControlAPI
import Failover
import Journal
import LebaConfiguration
import Model

/// What people ask of groups, members, backends and windows. Each request is decided in its turn on the control thread, kept in the
/// journal when it was carried out, and a dry run is the same on a copy.
extension Sidecar {
  // MARK: Groups

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let group = try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let specification = try Self.specification(of: request, in: state.topology)
      let effects = try commanding { () throws(CommandError) in try state.engine.createGroup(specification, now: now) }
      return (try state.snapshot(of: specification.name, at: now), effects)
    }
    if !dryRun { journal.store(FactKey(.group, request.name), encoding: request) }
    return group
  }

  static func specification(of request: GroupRequest, in topology: Topology) throws(ControlError) -> GroupSpecification {
    do {
      return try topology.group(named: request.name, mode: request.mode, backends: request.backends, primary: request.primary)
    } catch {
      throw .invalid(error.description)
    }
  }

  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError) {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      ((), try commanding { () throws(CommandError) in try state.engine.deleteGroup(name, now: now) })
    }
    guard !dryRun else { return }
    journal.remove(FactKey(.group, name.rawValue))
    for (key, _) in journal.facts(of: .member) where key.hasPrefix("\(name)/") { journal.remove(FactKey(.member, key)) }
  }

  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let effects = try commanding { () throws(CommandError) in
        try state.engine.setPrimary(
          of: group, to: BackendID(request.backend), force: request.force, pin: request.pin, now: now)
      }
      return (try state.snapshot(of: group, at: now), effects)
    }
  }

  func liftOverride(of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let effects = try commanding { () throws(CommandError) in try state.engine.liftOverride(of: group, now: now) }
      return (try state.snapshot(of: group, at: now), effects)
    }
  }

  func explanation(of group: GroupName) async -> (Explanation, now: Instant)? {
    await loop.ask { state, now in state.engine.explanation(of: group, at: now).map { ($0, now) } }
  }

  // MARK: Members

  func addMember(_ request: MemberRequest, to group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let snapshot = try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let effects = try Self.add(request, to: group, in: &state, now: now)
      return (try state.snapshot(of: group, at: now), effects)
    }
    if !dryRun { journal.store(FactKey(.member, "\(group)/\(request.backend)"), encoding: request) }
    return snapshot
  }

  static func add(
    _ request: MemberRequest, to group: GroupName, in state: inout ControlLoop.State, now: Instant
  ) throws(ControlError) -> [Effect] {
    guard let running = state.engine[group] else { throw .command(.unknownGroup(group)) }
    let known = running.member(BackendID(request.backend)) != nil
    if known { throw .command(.memberExists(BackendID(request.backend), of: group)) }
    let source: MemberSource
    do {
      source = try state.topology.member(
        request.backend, isPrimary: request.isPrimary, of: group, like: running.specification)
    } catch {
      throw .invalid(error.description)
    }
    return try commanding { () throws(CommandError) in try state.engine.addMember(source, to: group, now: now) }
  }

  func removeMember(_ backend: BackendID, from group: GroupName, dryRun: Bool) async throws(ControlError) {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      ((), try commanding { () throws(CommandError) in try state.engine.removeMember(backend, from: group, now: now) })
    }
    guard !dryRun else { return }
    // It was added one by one, or came with the request that made the group.
    journal.remove(FactKey(.member, "\(group)/\(backend)"))
    for (name, request) in journal.decode(.group, as: GroupRequest.self, logger: logger) where name == group.rawValue {
      let left = request.without(backend)
      if left != request { journal.store(FactKey(.group, name), encoding: left) }
    }
  }

  // MARK: Backends

  func backends() async -> [DeclaredBackend] {
    let declared = configuration.topology
    return await loop.ask { state, _ in
      state.topology.backends.map {
        DeclaredBackend($0, origin: declared.backend($0.id) == nil ? .api : .file)
      }
    }
  }

  func addBackend(_ request: BackendRequest, dryRun: Bool) async throws(ControlError) -> DeclaredBackend {
    let backend = try await change(dryRun: dryRun) { state, _ throws(ControlError) in
      (try refusing { () throws(BackendRefusal) in try state.topology.addBackend(request) }, [])
    }
    if !dryRun { journal.store(FactKey(.backend, request.id), encoding: request) }
    return DeclaredBackend(backend, origin: .api)
  }

  func removeBackend(_ backend: BackendID, dryRun: Bool) async throws(ControlError) {
    try await change(dryRun: dryRun) { state, _ throws(ControlError) in
      let used = Set(state.engine.groups.flatMap { $0.members.map(\.id) })
      try refusing { () throws(BackendRefusal) in try state.topology.removeBackend(backend, used: used) }
      return ((), [])
    }
    if !dryRun { journal.remove(FactKey(.backend, backend.rawValue)) }
  }

  func drain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let effects = try commanding { () throws(CommandError) in try state.engine.drain(backend, now: now) }
      return (state.snapshots(having: backend, at: now), effects)
    }
  }

  func undrain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let effects = try commanding { () throws(CommandError) in try state.engine.undrain(backend, now: now) }
      return (state.snapshots(having: backend, at: now), effects)
    }
  }

  // MARK: Maintenance

  func windows() async -> [WindowSnapshot] { await loop.ask { state, now in state.engine.windows(at: now) } }

  func schedule(_ request: MaintenanceRequest, dryRun: Bool) async throws(ControlError) -> WindowSnapshot {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      let taken = Set(state.engine.windows(at: now).map(\.window.id))
      let members = Set(state.engine.groups.flatMap { $0.members.map(\.id) })
      let window: MaintenanceWindow
      do throws(MaintenanceRefusal) {
        window = try state.topology.window(request, taken: taken, members: members, now: .current)
      } catch {
        switch error {
        case .exists: throw .conflict(error.description)
        case .invalid: throw .invalid(error.description)
        }
      }
      let effects = try commanding { () throws(CommandError) in try state.engine.schedule(window, now: now) }
      let planned = state.engine.windows(at: now).first { $0.window.id == window.id }
      return (planned ?? WindowSnapshot(window: window, state: .waiting, nextStart: window.start), effects)
    }
  }

  func cancelWindow(_ id: String, dryRun: Bool) async throws(ControlError) {
    try await change(dryRun: dryRun) { state, now throws(ControlError) in
      ((), try commanding { () throws(CommandError) in try state.engine.cancelWindow(id, now: now) })
    }
  }

  // MARK: Carrying out

  /// Decides on a copy of the state, which takes its place if nothing was refused and it was meant.
  private func change<Answer: Sendable>(
    dryRun: Bool,
    _ body: @escaping @Sendable (inout ControlLoop.State, Instant) throws(ControlError) -> (Answer, [Effect])
  ) async throws(ControlError) -> Answer {
    let result: Result<Answer, ControlError> = await loop.command { state, now in
      do throws(ControlError) {
        var copy = state
        let (answer, effects) = try body(&copy, now)
        if dryRun { return (.success(answer), []) }
        state = copy
        return (.success(answer), effects)
      } catch {
        return (.failure(error), [])
      }
    }
    return try result.get()
  }
}

private func commanding<Answer>(_ body: () throws(CommandError) -> Answer) throws(ControlError) -> Answer {
  do { return try body() } catch { throw .command(error) }
}

@discardableResult
private func refusing<Answer>(_ body: () throws(BackendRefusal) -> Answer) throws(ControlError) -> Answer {
  do throws(BackendRefusal) {
    return try body()
  } catch {
    switch error {
    case .exists, .declared, .inUse: throw .conflict(error.description)
    case .unknown: throw .unknown(error.description)
    case .invalid: throw .invalid(error.description)
    }
  }
}

extension ControlLoop.State {
  fileprivate func snapshot(of group: GroupName, at now: Instant) throws(ControlError) -> GroupSnapshot {
    guard let group = engine[group] else { throw .command(.unknownGroup(group)) }
    return group.snapshot(at: now)
  }

  fileprivate func snapshots(having backend: BackendID, at now: Instant) -> [GroupSnapshot] {
    engine.groups.filter { $0.member(backend) != nil }.map { $0.snapshot(at: now) }
  }
}

extension GroupRequest {
  /// The same, made without this backend.
  fileprivate func without(_ backend: BackendID) -> GroupRequest {
    GroupRequest(
      name: name, mode: mode, backends: backends.filter { $0 != backend.rawValue },
      primary: primary == backend.rawValue ? nil : primary)
  }
}

extension DeclaredBackend {
  fileprivate init(_ backend: BackendSpecification, origin: Origin) {
    self.init(
      id: backend.id, address: backend.address, proto: backend.proto, weight: backend.weight, zone: backend.zone, origin: origin)
  }
}
