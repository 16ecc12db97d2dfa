@testable import Failover
import Model

/// Ways to break the engine on purpose, from outside. The audit must notice each of them.
enum Sabotage: CaseIterable {
  case none
  case losesRecords
  case recordsTwice
  case losesTables
  case letsEverybodyServe
  case losesProbePlans
  /// The loop never calls the engine when only time passes.
  case sleepsThroughDeadlines
  /// A failed lookup reaches the engine as an authoritative "no such name".
  case takesFailuresForEmpty
  case overlooksDrained
  case overlooksMaintenance
  case liftsOverrides
  case overlooksOrders
  case overlooksWindows
  case prolongsWindows
  /// A cancelled maintenance is told as one that begins.
  case neverCancels
  case starvesEverybody
  case losesMemories
  /// What an earlier run left behind does not reach the engine.
  case forgetsAll
  /// It does not hear when, or which occurrences of windows were cancelled.
  case forgetsTimes
  case explainsWrongly
  /// Silence reaches the engine as a refusal.
  case takesSilenceForRefusal
  /// The engine does not hear of timelines and lags.
  case overlooksReplication

  /// What the engine hears instead of what happened.
  func apply(to event: Event) -> Event {
    switch (self, event) {
    case (.takesFailuresForEmpty, .discoveryUpdated(let update)):
      guard case .failed = update.outcome else { return event }
      return .discoveryUpdated(DiscoveryUpdate(domain: update.domain, outcome: .empty))
    case (.overlooksDrained, .discoveryUpdated(let update)):
      return .discoveryUpdated(DiscoveryUpdate(domain: update.domain, outcome: update.outcome))
    case (.overlooksMaintenance, .groupsConfigured(var groups, let leaving)):
      for group in groups.indices {
        for source in groups[group].members.indices { groups[group].members[source].maintenance = false }
      }
      return .groupsConfigured(groups, leaving: leaving)
    case (.forgetsAll, .remembered): return .remembered(groups: [], windows: [])
    case (.forgetsTimes, .remembered(let groups, let windows)):
      let timeless = groups.map {
        GroupMemory(
          group: $0.group, primary: $0.primary, override: $0.override, drained: $0.drained, failoverCount: $0.failoverCount)
      }
      return .remembered(groups: timeless, windows: windows.map { WindowMemory($0.window) })
    case (.takesSilenceForRefusal, .probeFinished(let report)):
      guard case .failed(let failure) = report.outcome, failure.kind == .timedOut else { return event }
      return .probeFinished(ProbeReport(member: report.member, outcome: .failed(ProbeFailure(.refused, "connection refused"))))
    case (.overlooksReplication, .probeFinished(let report)):
      guard case .passed(let latency, let role, _) = report.outcome else { return event }
      return .probeFinished(ProbeReport(member: report.member, outcome: .passed(latency: latency, role: role)))
    default:
      return event
    }
  }

  func apply(to explanation: Explanation) -> Explanation {
    if self != .explainsWrongly { return explanation }
    return Explanation(
      rule: "primary_serves", decision: explanation.decision, inputs: explanation.inputs, changes: explanation.changes,
      snapshot: explanation.snapshot)
  }

  func apply(to effects: [Effect]) -> [Effect] {
    switch self {
    case .none, .sleepsThroughDeadlines, .takesFailuresForEmpty, .overlooksDrained, .overlooksMaintenance, .liftsOverrides,
      .overlooksOrders, .overlooksWindows, .prolongsWindows, .forgetsAll, .forgetsTimes, .explainsWrongly, .takesSilenceForRefusal,
      .overlooksReplication:
      return effects
    case .losesMemories: return effects.filter { if case .remember = $0 { false } else { true } }
    case .neverCancels:
      return effects.map { effect in
        guard case .record(let decision) = effect, decision.kind == .maintenanceCancelled else { return effect }
        return .record(
          Decision(
            sequence: decision.sequence, at: decision.at, group: decision.group, kind: .maintenanceBegan, from: decision.from,
            to: decision.to, reason: .maintenanceWindow("w"), evidence: decision.evidence, detection: nil))
      }
    case .starvesEverybody:
      return effects.map { effect in
        guard case .publish(var change) = effect else { return effect }
        for group in change.changed.indices {
          for member in change.changed[group].members.indices { change.changed[group].members[member].share = 0 }
        }
        return .publish(change)
      }
    case .losesRecords:
      return effects.filter { if case .record(let decision) = $0 { !decision.kind.changesPrimary } else { true } }
    case .recordsTwice:
      return effects.flatMap { effect -> [Effect] in
        if case .record(let decision) = effect, decision.kind.changesPrimary { [effect, effect] } else { [effect] }
      }
    case .losesTables: return effects.filter { if case .publish(let change) = $0 { change.generation % 7 != 0 } else { true } }
    case .letsEverybodyServe:
      return effects.map { effect in
        guard case .publish(var change) = effect else { return effect }
        for group in change.changed.indices {
          for member in change.changed[group].members.indices { change.changed[group].members[member].standing.primary = .serve }
        }
        return .publish(change)
      }
    case .losesProbePlans: return effects.filter { if case .replaceProbes = $0 { false } else { true } }
    }
  }
}
