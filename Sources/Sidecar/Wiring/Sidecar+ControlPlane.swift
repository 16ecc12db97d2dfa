import ControlAPI
import Discovery
import Failover
import Journal
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization

/// What the API may ask of the process: reads and requests, each taking its turn in the control loop.
extension Sidecar: ControlPlane {
  func view() async -> ControlView {
    await loop.ask { state, now in
      ControlView(now: now, groups: state.engine.groups.map { $0.snapshot(at: now) }, history: state.history)
    }
  }

  func status() async -> StatusView {
    let groups = await view().groups
    let now = Instant.monotonicNow
    let connections = proxy.statistics()
    return StatusView(
      state: state(groups), version: VersionCommand.current, uptimeSeconds: (ContinuousClock.now - startedAt).seconds,
      engine: proxy.engineInUse, connectionLimit: proxy.connectionLimit, zone: configuration.zone,
      configuration: configurationStatus,
      listeners: listeners.open.map { listener in
        StatusView.Listener(
          name: listener.name.rawValue, address: listener.address.description, group: listener.group.rawValue,
          role: listener.role.rawValue, activeConnections: connections.listeners[listener.name]?.active ?? 0)
      },
      domains: discovery.status().map { domain in
        StatusView.Domain(
          domain: domain.domain.rawValue, outcome: domain.lastOutcome?.text ?? "pending",
          addresses: domain.records.map(\.endpoint.address.description), ageSeconds: domain.lastAnswered.map { (now - $0).seconds })
      },
      journal: journalView)
  }

  private var journalView: StatusView.Journal {
    switch journal.state {
    case .open(let path): StatusView.Journal(path: path, problem: nil)
    case .unavailable(let reason): StatusView.Journal(path: nil, problem: reason)
    }
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
    let groups = Dictionary(uniqueKeysWithValues: listeners.open.map { ($0.name, $0.group) })
    var counts: [MemberKey: Int] = [:]
    for (name, listener) in proxy.statistics().listeners {
      guard let group = groups[name] else { continue }
      for (backend, count) in listener.activeByBackend { counts[MemberKey(group: group, backend: backend), default: 0] += count }
    }
    return counts
  }

  func metrics() async -> [MetricFamily] {
    proxyMetrics() + discoveryMetrics() + [await ignoredTextMetrics()] + probeMetrics()
  }

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let specification: GroupSpecification
    do {
      specification = try await specify(request).get()
    } catch {
      throw .invalid(error.description)
    }
    return try await command(on: specification.name, dryRun: dryRun) { engine, now throws(CommandError) in
      try engine.createGroup(specification, now: now)
    }
  }

  private func specify(_ request: GroupRequest) async -> Result<GroupSpecification, GroupRefusal> {
    await loop.ask { [configuration] state, _ in
      var configuration = configuration
      // It may name what came through the API, too.
      configuration.topology = state.topology
      do throws(GroupRefusal) {
        return .success(
          try configuration.group(
            named: request.name, mode: request.mode, backends: request.backends, primary: request.primary))
      } catch {
        return .failure(error)
      }
    }
  }

  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try await command(on: group, dryRun: dryRun) { engine, now throws(CommandError) in
      try engine.setPrimary(of: group, to: BackendID(request.backend), force: request.force, pin: request.pin, now: now)
    }
  }

  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError) {
    _ = try await command(on: name, dryRun: dryRun) { engine, now throws(CommandError) in try engine.deleteGroup(name, now: now) }
  }

  /// Carries out a request and answers with the group as it is right afterwards, or, when it is deleted, as it was. A dry run is the
  /// same request on a copy of the engine.
  private func command(
    on name: GroupName, dryRun: Bool, _ body: @escaping @Sendable (inout Engine, Instant) throws(CommandError) -> [Effect]
  ) async throws(ControlError) -> GroupSnapshot {
    let result: Result<GroupSnapshot, CommandError> = await loop.command { state, now in
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
