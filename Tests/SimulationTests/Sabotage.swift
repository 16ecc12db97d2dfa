import Failover
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

  func apply(to effects: [Effect]) -> [Effect] {
    switch self {
    case .none, .sleepsThroughDeadlines: return effects
    case .losesRecords:
      return effects.filter { if case .record(let decision) = $0 { !decision.kind.changesPrimary } else { true } }
    case .recordsTwice:
      return effects.flatMap { effect -> [Effect] in
        if case .record(let decision) = effect, decision.kind.changesPrimary { [effect, effect] } else { [effect] }
      }
    case .losesTables: return effects.filter { if case .publish(let table) = $0 { table.generation % 7 != 0 } else { true } }
    case .letsEverybodyServe:
      return effects.map { effect in
        guard case .publish(var table) = effect else { return effect }
        for group in table.groups.indices {
          for member in table.groups[group].members.indices { table.groups[group].members[member].standing.primary = .serve }
        }
        return .publish(table)
      }
    case .losesProbePlans: return effects.filter { if case .replaceProbePlan = $0 { false } else { true } }
    }
  }
}
