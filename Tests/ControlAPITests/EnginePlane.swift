import ControlAPI
import Failover
import Foundation
import Model
import Synchronization

/// A control plane over a real engine, without proxy, probes or DNS: the API's own behaviour is what these tests are about.
final class EnginePlane: ControlPlane {
  private struct State {
    var engine = Engine(holdRemoved: .seconds(10))
    var history = DecisionHistory()
    var now = Instant(nanoseconds: 1_000_000_000)

    mutating func apply(_ effects: [Effect]) {
      for case .record(let decision) in effects { history.append(decision) }
    }
  }

  private let state = Mutex(State())

  init(_ groups: [GroupSpecification]) {
    state.withLock { state in state.apply(state.engine.handle(.groupsConfigured(groups), now: state.now)) }
  }

  func probe(_ group: GroupName, _ backend: BackendID, _ outcome: ProbeOutcome) {
    let report = ProbeReport(member: MemberKey(group: group, backend: backend), outcome: outcome)
    state.withLock { state in
      state.now = state.now + .milliseconds(100)
      state.apply(state.engine.handle(.probeFinished(report), now: state.now))
    }
  }

  func view() async -> ControlView {
    state.withLock { state in
      ControlView(now: state.now, groups: state.engine.groups.map { $0.snapshot(at: state.now) }, history: state.history)
    }
  }

  func status() async -> StatusView {
    StatusView(
      state: .ready, version: "0", uptimeSeconds: 1, engine: "none", connectionLimit: 1, zone: nil, configurationFile: "f",
      listeners: [], domains: [])
  }

  func activeConnections() async -> [MemberKey: Int] { [:] }
  func metrics() async -> [MetricFamily] { [] }

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    guard let mode = GroupMode(rawValue: request.mode) else { throw .invalid("unknown mode '\(request.mode)'") }
    let members = request.backends.enumerated().map { position, id in
      MemberSource(
        origin: .fixed(BackendID(id), .ip(.v4(0x7F00_0001), port: UInt16(9000 + position))), proto: .tcp,
        isPrimary: id == request.primary, check: HealthCheck(kind: .tcp))
    }
    let specification = GroupSpecification(name: GroupName(request.name), mode: mode, members: members)
    return try command(specification.name, dryRun) { engine, now throws(CommandError) in
      try engine.createGroup(specification, now: now)
    }
  }

  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try command(group, dryRun) { engine, now throws(CommandError) in
      try engine.setPrimary(of: group, to: BackendID(request.backend), force: request.force, pin: request.pin, now: now)
    }
  }

  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError) {
    _ = try command(name, dryRun) { engine, now throws(CommandError) in try engine.deleteGroup(name, now: now) }
  }

  private func command(
    _ name: GroupName, _ dryRun: Bool, _ body: (inout Engine, Instant) throws(CommandError) -> [Effect]
  ) throws(ControlError) -> GroupSnapshot {
    do throws(CommandError) {
      return try state.withLock { (state) throws(CommandError) in
        var engine = state.engine
        let effects = try body(&engine, state.now)
        guard let group = engine[name] ?? state.engine[name] else { throw .unknownGroup(name) }
        if !dryRun {
          state.engine = engine
          state.apply(effects)
        }
        return group.snapshot(at: state.now)
      }
    } catch {
      throw .command(error)
    }
  }
}
