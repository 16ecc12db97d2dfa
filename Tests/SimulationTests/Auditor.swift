import Failover
import Model

/// What was put into the engine.
enum Input {
  case event(Event)
  /// A request the engine accepted. A refused one is no input: the engine's state must be the old one.
  case setPrimary(GroupName, BackendID, force: Bool, pin: Bool)
  case created(GroupName)
  case deleted(GroupName)
}

/// Watches an engine from outside: knows only what went in and what came out, and what must hold between the two.
///
/// It believes the effects and not the engine's state: the table it judges is the one that was published, as the proxies have it.
struct Auditor {
  private(set) var table = RoutingTable.empty
  private var groups: [GroupName: GroupAuditor] = [:]
  private var plan: [MemberKey: ProbeTarget] = [:]
  private var sequence: UInt64 = 0
  private let holdRemoved: Duration

  init(holdRemoved: Duration) { self.holdRemoved = holdRemoved }

  /// - Parameter specification: what `name` is to be held to. A canary holds it to something else than the engine was told.
  mutating func expect(_ specification: GroupSpecification, now: Instant) {
    groups[specification.name] = GroupAuditor(specification, holdRemoved: holdRemoved, now: now)
  }

  /// - Returns: one line for everything that is wrong with this step.
  mutating func check(_ input: Input, before: Engine, effects: [Effect], after: Engine, now: Instant) -> [String] {
    var wrong = after.violations(at: now)
    var records: [Decision] = []
    var publications = 0
    var planned = false
    for effect in effects {
      switch effect {
      case .publish(let new):
        publications += 1
        if new.generation != table.generation + 1 { wrong.append("table \(new.generation) follows \(table.generation)") }
        if new.groups == table.groups { wrong.append("table \(new.generation) says nothing new") }
        if !records.isEmpty { wrong.append("a record goes out before the table") }
        table = new
      case .replaceProbePlan(let targets):
        planned = true
        plan = Dictionary(targets.map { ($0.member, $0) }, uniquingKeysWith: { first, _ in first })
        if plan.count != targets.count { wrong.append("a member is probed twice") }
      case .probeNow(let member):
        if plan[member] == nil { wrong.append("asks to probe \(member), which is not in the plan") }
      case .lookUpNow:
        break
      case .record(let decision):
        sequence += 1
        if decision.sequence != sequence { wrong.append("record \(decision.sequence) should be \(sequence)") }
        if decision.at != now { wrong.append("record \(decision.sequence) has another time") }
        records.append(decision)
      }
    }
    if publications > 1 { wrong.append("\(publications) tables at once") }
    if table != after.table { wrong.append("the published table is not the engine's") }
    wrong += planViolations(after, planned: planned)
    if case .deleted(let name) = input { groups[name] = nil }
    for group in after.groups {
      let said = records.filter { $0.group == group.name }
      wrong +=
        groups[group.name]?.check(
          input, before: before[group.name], after: group, records: said, route: table[group.name], now: now)
        ?? ["\(group.name) came from nowhere"]
    }
    if let deadline = after.nextDeadline, deadline <= now { wrong.append("the next deadline is in the past: the loop would spin") }
    return wrong
  }

  private func planViolations(_ engine: Engine, planned: Bool) -> [String] {
    var members = 0
    for group in engine.groups {
      for member in group.members {
        members += 1
        let target = plan[MemberKey(group: group.name, backend: member.id)]
        if target?.address != member.address || target?.check != member.check {
          return ["\(group.name)/\(member.id) is not probed as it should be"]
        }
      }
    }
    return members == plan.count ? [] : ["somebody is probed who is no member"]
  }

  /// Until its next deadline nothing may change by itself, and a fact that says nothing must lead to nothing.
  ///
  /// The fact is a probe this host could not make: it makes the engine look at everything again without telling it anything.
  static func quietnessViolations(of engine: Engine, now: Instant) -> [String] {
    let lastQuiet = engine.nextDeadline.map { $0 - .nanoseconds(1) } ?? now + .seconds(86_400)
    var wrong: [String] = []
    for (moment, name) in [(now, "again"), (lastQuiet, "just before the deadline")] {
      var copy = engine
      for group in engine.groups {
        guard let member = group.members.first else { continue }
        let nothing = ProbeReport(
          member: MemberKey(group: group.name, backend: member.id), outcome: .failed(ProbeFailure(.local, "no descriptors")))
        let effects = copy.handle(.probeFinished(nothing), now: moment)
        if !effects.isEmpty { wrong.append("\(group.name): something changed without a fact, \(name): \(effects)") }
      }
    }
    return wrong
  }
}
