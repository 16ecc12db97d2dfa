import ControlAPI
import Discovery
import Failover
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization

/// What the API may ask of the process: reads and requests, each taking its turn in the control loop.
extension Sidecar: ControlPlane {
  func view() async -> ControlView {
    await loop.ask { state, now in
      (ControlView(now: now, groups: state.engine.groups.map { $0.snapshot(at: now) }, history: state.history), [])
    }
  }

  func status() async -> StatusView {
    let groups = await view().groups
    let now = Instant.monotonicNow
    let connections = proxy.statistics()
    return StatusView(
      state: state(groups), version: VersionCommand.current, uptimeSeconds: (ContinuousClock.now - startedAt).seconds,
      engine: proxy.engineInUse, connectionLimit: proxy.connectionLimit, zone: configuration.zone,
      configurationFile: configurationFile,
      listeners: listeners.withLock { $0 }.map { listener in
        StatusView.Listener(
          name: listener.name.rawValue, address: listener.address.description, group: listener.group.rawValue,
          role: listener.role.rawValue, activeConnections: connections.listeners[listener.name]?.active ?? 0)
      },
      domains: discovery.status().map { domain in
        StatusView.Domain(
          domain: domain.domain.rawValue, outcome: domain.lastOutcome?.text ?? "pending",
          addresses: domain.records.map(\.address.description), ageSeconds: domain.lastAnswered.map { (now - $0).seconds })
      })
  }

  /// Ready means: every listener is open and every group has had its first verdict.
  private func state(_ groups: [GroupSnapshot]) -> StatusView.State {
    switch phase.withLock({ $0 }) {
    case .starting: .starting
    case .draining: .draining
    case .running: groups.contains { $0.state == .starting } ? .starting : .ready
    }
  }

  func activeConnections() async -> [MemberKey: Int] {
    let groups = Dictionary(uniqueKeysWithValues: listeners.withLock { $0 }.map { ($0.name, $0.group) })
    var counts: [MemberKey: Int] = [:]
    for (name, listener) in proxy.statistics().listeners {
      guard let group = groups[name] else { continue }
      for (backend, count) in listener.activeByBackend { counts[MemberKey(group: group, backend: backend), default: 0] += count }
    }
    return counts
  }

  func metrics() async -> [MetricFamily] { proxyMetrics() + discoveryMetrics() + probeMetrics() }

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let specification: GroupSpecification
    do {
      specification = try configuration.group(
        named: request.name, mode: request.mode, backends: request.backends, primary: request.primary)
    } catch {
      throw .invalid(error.description)
    }
    let group = try await command(on: specification.name, dryRun: dryRun) { engine, now throws(CommandError) in
      try engine.createGroup(specification, now: now)
    }
    if !dryRun { listen(for: specification) }
    return group
  }

  /// A group made through the API listens where one of the file would. The group is wanted even where the address is not to be had:
  /// then it is watched, and a line in the log says why nothing connects to it.
  private func listen(for group: GroupSpecification) {
    guard !configuration.declaresListeners, let listener = ListenerSpecification(defaultFor: group) else { return }
    do {
      try proxy.open(listener)
      listeners.withLock { $0.append(listener) }
      logger.notice("listening on \(listener.address) for \(listener.group) (\(listener.role.rawValue))")
    } catch {
      logger.warning("the group \(group.name) gets no listener: \(error)")
    }
  }

  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try await command(on: group, dryRun: dryRun) { engine, now throws(CommandError) in
      try engine.setPrimary(of: group, to: BackendID(request.backend), force: request.force, pin: request.pin, now: now)
    }
  }

  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError) {
    _ = try await command(on: name, dryRun: dryRun) { engine, now throws(CommandError) in try engine.deleteGroup(name, now: now) }
    if dryRun { return }
    let closing = listeners.withLock { listeners in
      defer { listeners.removeAll { $0.group == name } }
      return listeners.filter { $0.group == name }
    }
    for listener in closing { proxy.close(listener.name) }
  }

  /// Carries out a request and answers with the group as it is right afterwards, or, when it is deleted, as it was. A dry run is the
  /// same request on a copy of the engine.
  private func command(
    on name: GroupName, dryRun: Bool, _ body: @escaping @Sendable (inout Engine, Instant) throws(CommandError) -> [Effect]
  ) async throws(ControlError) -> GroupSnapshot {
    let result: Result<GroupSnapshot, CommandError> = await loop.ask { state, now in
      do throws(CommandError) {
        var engine = state.engine
        let effects = try body(&engine, now)
        guard let group = engine[name] ?? state.engine[name] else { throw .unknownGroup(name) }
        if !dryRun { state.engine = engine }
        return (.success(group.snapshot(at: now)), dryRun ? [] : effects)
      } catch {
        return (.failure(error), [])
      }
    }
    switch result {
    case .success(let group): return group
    case .failure(let error): throw .command(error)
    }
  }
}
