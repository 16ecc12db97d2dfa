import ControlAPI
import Failover
import Foundation
import LebaConfiguration
import Model
import Synchronization

/// What the engine does not do by itself here, answered from a script: the tests are about the API's side of it.
extension EnginePlane {
  struct Script {
    var overrides: Set<GroupName> = []
    var drained: Set<BackendID> = []
    var members: [BackendID: GroupName] = [:]
    var backends: [DeclaredBackend] = [
      DeclaredBackend(
        id: "unused", address: .ip(.v4(0x7F00_0009), port: 80), proto: .http, weight: 1, zone: "eu-1a", origin: .file)
    ]
    var windows: [WindowSnapshot] = [
      WindowSnapshot(
        window: MaintenanceWindow(
          id: "weekly", backend: "backend1", start: WallTime(milliseconds: 1_800_000_000_000), duration: .seconds(3600),
          repetition: .weekly, preDrain: .seconds(120), isConfigured: true),
        state: .cancelled, nextStart: WallTime(milliseconds: 1_800_604_800_000), reason: "nobody else could have served")
    ]
    var refusal: [String]?
    /// Records before those of this run.
    var oldEvents: [EventRecord] = []
  }

  func memberStatistics() async -> [MemberKey: MemberStatistics] {
    let failure = MemberStatistics.Failure(ProbeFailure(.refused, "connection refused"), at: .zero)
    return [
      MemberKey(group: "app-servers", backend: "backend1"): MemberStatistics(
        probesPassed: 5, probesFailed: 2, lastFailure: failure, bytesReceived: 100, bytesSent: 200)
    ]
  }

  func explanation(of group: GroupName) async -> (Explanation, now: Instant)? {
    let view = await view()
    guard let snapshot = view.groups.first(where: { $0.name == group }) else { return nil }
    let explanation = Explanation(
      rule: "primary_serves", decision: "backend1 serves: it is the primary and healthy",
      inputs: [.init(name: "minimum_interval", value: "10s", age: .seconds(3)), .init(name: "override", value: "none")],
      changes: ["backend1 fails 2 probes in a row"], snapshot: snapshot)
    return (explanation, view.now)
  }

  func liftOverride(of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let snapshot = try await snapshot(of: group)
    guard script.withLock({ $0.overrides.contains(group) }) else { throw .command(.noOverride(group)) }
    if !dryRun { script.withLock { _ = $0.overrides.remove(group) } }
    return snapshot
  }

  func addMember(_ request: MemberRequest, to group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    let snapshot = try await snapshot(of: group)
    let backend = BackendID(request.backend)
    if snapshot.members.contains(where: { $0.id == backend }) { throw .command(.memberExists(backend, of: group)) }
    if !dryRun { script.withLock { $0.members[backend] = group } }
    return snapshot
  }

  func removeMember(_ backend: BackendID, from group: GroupName, dryRun: Bool) async throws(ControlError) {
    let snapshot = try await snapshot(of: group)
    if snapshot.members.contains(where: { $0.id == backend }) { throw .command(.memberIsDescribed(backend, of: group)) }
    guard script.withLock({ $0.members[backend] == group }) else { throw .command(.notAMember(backend, of: group)) }
    if !dryRun { script.withLock { $0.members[backend] = nil } }
  }

  func backends() async -> [DeclaredBackend] { script.withLock { $0.backends } }

  func addBackend(_ request: BackendRequest, dryRun: Bool) async throws(ControlError) -> DeclaredBackend {
    let id = BackendID(request.id)
    guard let address = IPAddress(request.address), let port = UInt16(exactly: request.port) else {
      throw .invalid("'\(request.address)' is not an address")
    }
    let backend = DeclaredBackend(
      id: id, address: .ip(address, port: port), proto: request.proto.flatMap(BackendProtocol.init) ?? .tcp,
      weight: request.weight ?? 1, zone: request.zone, origin: .api)
    if script.withLock({ $0.backends.contains { $0.id == id } }) { throw .conflict("the backend '\(id)' exists already") }
    if !dryRun { script.withLock { $0.backends.append(backend) } }
    return backend
  }

  func removeBackend(_ backend: BackendID, dryRun: Bool) async throws(ControlError) {
    guard let declared = script.withLock({ $0.backends.first { $0.id == backend } }) else {
      throw .command(.unknownBackend(backend))
    }
    if declared.origin == .file { throw .conflict("'\(backend)' is declared in f; remove it there") }
    if !dryRun { script.withLock { $0.backends.removeAll { $0.id == backend } } }
  }

  func drain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] {
    let groups = try await groups(with: backend)
    if !dryRun { script.withLock { _ = $0.drained.insert(backend) } }
    return groups
  }

  func undrain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] {
    let groups = try await groups(with: backend)
    if !dryRun { script.withLock { _ = $0.drained.remove(backend) } }
    return groups
  }

  func windows() async -> [WindowSnapshot] { script.withLock { $0.windows } }

  func schedule(_ request: MaintenanceRequest, dryRun: Bool) async throws(ControlError) -> WindowSnapshot {
    guard let start = WallTime(request.start, now: .current), let duration = Duration(text: request.duration) else {
      throw .invalid("'\(request.start)' for '\(request.duration)' is no time")
    }
    let window = MaintenanceWindow(
      id: request.id ?? "made-up", backend: BackendID(request.backend), start: start, duration: duration,
      repetition: request.repetition.flatMap(MaintenanceWindow.Repetition.init),
      preDrain: request.preDrain.flatMap { Duration(text: $0) } ?? .zero)
    if script.withLock({ $0.windows.contains { $0.window.id == window.id } }) { throw .command(.windowExists(window.id)) }
    let snapshot = WindowSnapshot(window: window, state: .waiting, nextStart: start)
    if !dryRun { script.withLock { $0.windows.append(snapshot) } }
    return snapshot
  }

  func cancelWindow(_ id: String, dryRun: Bool) async throws(ControlError) {
    guard let window = script.withLock({ $0.windows.first { $0.window.id == id } }) else { throw .command(.unknownWindow(id)) }
    if window.window.isConfigured { throw .command(.windowIsConfigured(id)) }
    if !dryRun { script.withLock { $0.windows.removeAll { $0.window.id == id } } }
  }

  func events(_ query: EventQuery) async -> EventPage {
    let old = script.withLock { $0.oldEvents }
    let all = old.isEmpty ? events : old
    let matching = (query.order == .newestFirst ? all.reversed() : all).filter(query.matches)
    return EventPage(
      records: Array(matching.prefix(query.limit)), hasMore: matching.count > query.limit, lastSequence: all.last?.sequence ?? 0)
  }

  func effectiveConfiguration() async -> Configuration {
    let text = """
      zone: eu-1a
      failover_groups:
        - name: pg
          mode: active-passive
          backends: ["127.0.0.1:5432"]
          primary: "127.0.0.1:5432"
          health_check: {type: postgres, postgres: {user: leba, password: hunter2, database: postgres, depth: role}}
      """
    do throws(ConfigurationError) {
      return try Configuration.parse(text, file: "f", environment: [:])
    } catch {
      preconditionFailure("\(error.diagnostics)")
    }
  }

  func reload(dryRun: Bool) async throws(ControlError) -> ReloadReport {
    if let refusal = script.withLock({ $0.refusal }) { throw .refused(refusal) }
    return ReloadReport(
      file: "f", changes: [.init(part: "failover_groups", name: "app-servers", action: .changed)], needsRestart: ["api.address"],
      warnings: [])
  }

  private func groups(with backend: BackendID) async throws(ControlError) -> [GroupSnapshot] {
    let groups = await view().groups.filter { group in group.members.contains { $0.id == backend } }
    if groups.isEmpty { throw .command(.unknownBackend(backend)) }
    return groups
  }

  private func snapshot(of group: GroupName) async throws(ControlError) -> GroupSnapshot {
    guard let snapshot = await view().groups.first(where: { $0.name == group }) else { throw .command(.unknownGroup(group)) }
    return snapshot
  }
}
