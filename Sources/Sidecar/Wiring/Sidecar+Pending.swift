import ControlAPI
import Failover
import Foundation
import Health
import LebaConfiguration
import Model

/// What the API asks for and is not connected yet. What the engine can answer already is asked of it.
extension Sidecar {
  var configurationStatus: StatusView.ConfigurationFile {
    StatusView.ConfigurationFile(
      file: configurationFile, loadedAt: WallTime.now - (ContinuousClock.now - startedAt), problem: nil)
  }

  func memberStatistics() async -> [MemberKey: MemberStatistics] {
    health.statistics().mapValues { MemberStatistics(probesPassed: $0.passed, probesFailed: $0.failed) }
  }

  func explanation(of group: GroupName) async -> (Explanation, now: Instant)? {
    await loop.ask { state, now in state.engine.explanation(of: group, at: now).map { ($0, now) } }
  }

  func liftOverride(of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot { throw Self.notConnected }

  func addMember(_ request: MemberRequest, to group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    throw Self.notConnected
  }

  func removeMember(_ backend: BackendID, from group: GroupName, dryRun: Bool) async throws(ControlError) {
    throw Self.notConnected
  }

  func backends() async -> [DeclaredBackend] {
    configuration.backends.values.map {
      DeclaredBackend(id: $0.id, address: $0.address, proto: $0.proto, weight: $0.weight, zone: $0.zone, origin: .file)
    }
  }

  func addBackend(_ request: BackendRequest, dryRun: Bool) async throws(ControlError) -> DeclaredBackend {
    throw Self.notConnected
  }

  func removeBackend(_ backend: BackendID, dryRun: Bool) async throws(ControlError) { throw Self.notConnected }

  func drain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] { throw Self.notConnected }

  func undrain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot] { throw Self.notConnected }

  func windows() async -> [WindowSnapshot] { await loop.ask { state, now in state.engine.windows(at: now) } }

  func schedule(_ request: MaintenanceRequest, dryRun: Bool) async throws(ControlError) -> WindowSnapshot {
    throw Self.notConnected
  }

  func cancelWindow(_ id: String, dryRun: Bool) async throws(ControlError) { throw Self.notConnected }

  func events(_ query: EventQuery) async -> EventPage {
    let (history, now) = await loop.ask { state, now in (state.history, now) }
    return EventPage(query, in: history, now: now)
  }

  func effectiveConfiguration() async -> Configuration {
    var effective = configuration
    effective.topology = await loop.ask { state, _ in state.topology }
    return effective
  }

  func reload(dryRun: Bool) async throws(ControlError) -> ReloadReport { throw Self.notConnected }

  private static var notConnected: ControlError { .unavailable("this version of leba cannot do that yet") }
}
