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
  /// What the published changes add up to, by group: what a proxy knows.
  private(set) var routes: [GroupName: GroupRoute] = [:]
  private var generation: UInt64 = 0
  private var groups: [GroupName: GroupAuditor] = [:]
  private var plan: [GroupName: [BackendID: ProbeTarget]] = [:]
  private var sequence: UInt64 = 0
  private let holdRemoved: Duration

  init(holdRemoved: Duration) { self.holdRemoved = holdRemoved }

  /// In a stable order, so that a seed draws the same again.
  var sortedRoutes: [GroupRoute] { routes.values.sorted { $0.name < $1.name } }

  /// - Parameter specification: what `name` is to be held to. A canary holds it to something else than the engine was told.
  mutating func expect(_ specification: GroupSpecification, now: Instant) {
    groups[specification.name] = GroupAuditor(specification, isDescribed: false, holdRemoved: holdRemoved, now: now)
  }

  /// What configuration and DNS describe now, all of it; the event that says so to the engine comes next.
  mutating func expectDescribed(_ specifications: [GroupSpecification], leaving: Leaving, now: Instant) {
    for specification in specifications {
      if groups[specification.name]?.describe(specification, now: now) == nil {
        groups[specification.name] = GroupAuditor(specification, isDescribed: true, holdRemoved: holdRemoved, now: now)
      }
    }
    for name in Set(groups.keys).subtracting(specifications.map(\.name)) { groups[name]?.dissolve(leaving) }
  }

  /// After a time of peace the members are what DNS and configuration say, no more and no less.
  func membersDiffering(in engine: Engine) -> [String] {
    engine.groups.compactMap { group in
      let expected = groups[group.name]?.expectedAddresses ?? []
      let found = Set(group.members.map(\.address))
      return found == expected ? nil : "\(group.name) has \(found.sorted()) instead of \(expected.sorted())"
    }
  }

  /// - Returns: one line for everything that is wrong with this step.
  mutating func check(_ input: Input, before: Engine, effects: [Effect], after: Engine, now: Instant) -> [String] {
    var wrong = after.violations(at: now)
    var records: [Decision] = []
    var publications = 0
    for effect in effects {
      switch effect {
      case .publish(let change):
        publications += 1
        if !records.isEmpty { wrong.append("a record goes out before the routes") }
        wrong += apply(change)
      case .replaceProbes(let group, let targets):
        plan[group] = Dictionary(targets.map { ($0.member.backend, $0) }, uniquingKeysWith: { first, _ in first })
        if plan[group]?.count != targets.count { wrong.append("a member is probed twice") }
        if targets.isEmpty { plan[group] = nil }
      case .probeNow(let member):
        if plan[member.group]?[member.backend] == nil { wrong.append("asks to probe \(member), which is not in the plan") }
      case .lookUpNow, .remember, .forget, .rememberWindows:
        break
      case .record(let decision):
        sequence += 1
        if decision.sequence != sequence { wrong.append("record \(decision.sequence) should be \(sequence)") }
        if decision.at != now { wrong.append("record \(decision.sequence) has another time") }
        records.append(decision)
      }
    }
    if publications > 1 { wrong.append("\(publications) changes of routes at once") }
    let table = after.table
    if generation != table.generation || routes != Dictionary(uniqueKeysWithValues: table.groups.map { ($0.name, $0) }) {
      wrong.append("the published routes are not the engine's")
    }
    if case .event(.discoveryUpdated(let update)) = input, case .failed = update.outcome, before.table != after.table {
      wrong.append("a failed lookup changed the routes")
    }
    wrong += planViolations(after)
    if case .deleted(let name) = input { groups[name] = nil }
    for group in after.groups {
      let said = records.filter { $0.group == group.name }
      wrong +=
        groups[group.name]?.check(
          input, before: before[group.name], after: group, records: said, route: routes[group.name], now: now)
        ?? ["\(group.name) came from nowhere"]
    }
    for name in groups.keys where after[name] == nil {
      wrong += groups[name]?.farewellViolations(input, before[name], now) ?? []
      groups[name] = nil
    }
    if let deadline = after.nextDeadline, deadline <= now { wrong.append("the next deadline is in the past: the loop would spin") }
    return wrong
  }

  private mutating func apply(_ change: RoutingChange) -> [String] {
    var wrong: [String] = []
    if change.generation != generation + 1 { wrong.append("generation \(change.generation) follows \(generation)") }
    generation = change.generation
    if change.changed.isEmpty && change.removed.isEmpty { wrong.append("a change of routes that changes nothing") }
    for name in change.removed where routes.removeValue(forKey: name) == nil { wrong.append("\(name) goes and was never there") }
    for route in change.changed where routes.updateValue(route, forKey: route.name) == route {
      wrong.append("the route of \(route.name) says nothing new")
    }
    return wrong
  }

  private func planViolations(_ engine: Engine) -> [String] {
    let groups = engine.groups
    for group in groups {
      for member in group.members {
        let target = plan[group.name]?[member.id]
        if target?.address != member.address || target?.check != member.check {
          return ["\(group.name)/\(member.id) is not probed as it should be"]
        }
      }
    }
    return groups.reduce(0) { $0 + $1.members.count } == plan.values.reduce(0) { $0 + $1.count }
      ? [] : ["somebody is probed who is no member"]
  }

  /// Until its next deadline nothing may change by itself, and a fact that says nothing must lead to nothing.
  ///
  /// The fact is a probe of somebody who is no member: it makes the engine look at everything again without telling it anything.
  static func quietnessViolations(of engine: Engine, now: Instant) -> [String] {
    let lastQuiet = engine.nextDeadline.map { $0 - .nanoseconds(1) } ?? now + .seconds(86_400)
    var wrong: [String] = []
    for (moment, name) in [(now, "again"), (lastQuiet, "just before the deadline")] {
      var copy = engine
      for group in engine.groups {
        let nothing = ProbeReport(
          member: MemberKey(group: group.name, backend: "nobody"), outcome: .failed(ProbeFailure(.local, "no descriptors")))
        let effects = copy.handle(.probeFinished(nothing), now: moment)
        if !effects.isEmpty { wrong.append("\(group.name): something changed without a fact, \(name): \(effects)") }
      }
    }
    return wrong
  }
}
