import Failover
import Model

/// What was put into the engine.
enum Input {
  case event(Event)
  /// A request the engine accepted. A refused one is no input: the engine's state must be the old one.
  case setPrimary(GroupName, BackendID, force: Bool, pin: Bool)
  case lifted(GroupName)
  case drained(BackendID)
  case undrained(BackendID)
  case added(MemberSource, to: GroupName)
  case removed(BackendID, from: GroupName)
  case scheduled(MaintenanceWindow)
  case cancelled(String)
  case created(GroupName)
  case deleted(GroupName)

  /// The only group that a fact can be about; nil where it can be about many.
  var group: GroupName? {
    switch self {
    case .event(.probeFinished(let report)): report.member.group
    case .event(.dataPathFailed(let signal)): signal.member.group
    case .setPrimary(let name, _, _, _), .lifted(let name), .added(_, to: let name), .removed(_, from: let name),
      .created(let name), .deleted(let name):
      name
    case .event, .drained, .undrained, .scheduled, .cancelled: nil
    }
  }
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
  private var silence = SilenceAuditor()
  private var windows = WindowAuditor()
  private var memory: MemoryAuditor
  /// What an earlier run left behind, of groups that are not there yet.
  private var unclaimed: [GroupName: GroupMemory]
  private var inputs = 0

  /// Looking at everything costs more than most steps can change: what nothing speaks for is looked at so seldom.
  private static let fullCheckEvery = 16

  /// - Parameters:
  ///   - memories: what the engine finds of an earlier run.
  ///   - windows: likewise.
  init(holdRemoved: Duration, memories: [GroupMemory] = [], windows: [WindowMemory] = []) {
    self.holdRemoved = holdRemoved
    memory = MemoryAuditor(memories, windows: windows)
    unclaimed = Dictionary(memories.map { (GroupName($0.group), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// In a stable order, so that a seed draws the same again.
  var sortedRoutes: [GroupRoute] { routes.values.sorted { $0.name < $1.name } }

  /// - Parameter specification: what `name` is to be held to. A canary holds it to something else than the engine was told.
  mutating func expect(_ specification: GroupSpecification, now: Instant) {
    groups[specification.name] = begin(specification, isDescribed: false, now: now)
  }

  private mutating func begin(_ specification: GroupSpecification, isDescribed: Bool, now: Instant) -> GroupAuditor {
    var group = GroupAuditor(specification, isDescribed: isDescribed, holdRemoved: holdRemoved, now: now)
    if let memory = unclaimed.removeValue(forKey: specification.name) {
      group.restore(memory, now: now) { windows.instant(of: $0) }
    }
    return group
  }

  /// What configuration and DNS describe now, all of it; the event that says so to the engine comes next.
  mutating func expectDescribed(_ specifications: [GroupSpecification], leaving: Leaving, now: Instant) {
    for specification in specifications {
      if groups[specification.name]?.describe(specification, now: now) == nil {
        groups[specification.name] = begin(specification, isDescribed: true, now: now)
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
    inputs += 1
    let isFull = !effects.isEmpty || inputs % Self.fullCheckEvery == 0
    var wrong = isFull ? after.violations(at: now) : []
    var records: [Decision] = []
    var publications = 0
    // What windows do follows upon what else there was to do.
    let mayPublishTwice = after.windows(at: now).isEmpty == false || !windows.isIdle
    if case .event(.probeFinished(let report)) = input, before[report.member.group]?.member(report.member.backend) != nil {
      silence.listen(to: report)
    }
    windows.listen(to: input, now: now)
    for effect in effects {
      switch effect {
      case .publish(let change):
        publications += 1
        if !records.isEmpty, !mayPublishTwice { wrong.append("a record goes out before the routes") }
        wrong += apply(change)
      case .replaceProbes(let group, let targets):
        plan[group] = Dictionary(targets.map { ($0.member.backend, $0) }, uniquingKeysWith: { first, _ in first })
        if plan[group]?.count != targets.count { wrong.append("a member is probed twice") }
        if targets.isEmpty { plan[group] = nil }
        silence.forget(group, exceptFor: targets)
      case .probeNow(let member):
        if plan[member.group]?[member.backend] == nil { wrong.append("asks to probe \(member), which is not in the plan") }
      case .lookUpNow: break
      case .remember, .forget, .rememberWindows: memory.listen(to: effect)
      case .record(let decision):
        sequence += 1
        if decision.sequence != sequence { wrong.append("record \(decision.sequence) should be \(sequence)") }
        if decision.at != now { wrong.append("record \(decision.sequence) has another time") }
        records.append(decision)
      }
    }
    if publications > 1, !mayPublishTwice { wrong.append("\(publications) changes of routes at once") }
    if isFull {
      let table = after.table
      if generation != table.generation || routes != Dictionary(uniqueKeysWithValues: table.groups.map { ($0.name, $0) }) {
        wrong.append("the published routes are not the engine's")
      }
      wrong += planViolations(after)
    }
    if case .event(.discoveryUpdated(let update)) = input, case .failed = update.outcome, before.table != after.table {
      wrong.append("a failed lookup changed the routes")
    }
    wrong += windows.check(after, now: now)
    if !windows.isIdle { wrong += memory.windowViolations(after.windows(at: now)) }
    if case .deleted(let name) = input { groups[name] = nil }
    for group in after.groups where isFull || windows.areRunning || input.group == nil || input.group == group.name {
      let said = records.filter { $0.group == group.name }
      let surroundings = GroupAuditor.Surroundings(
        isSuspected: silence.isSuspected, draining: windows.draining, inMaintenance: windows.inMaintenance)
      wrong +=
        groups[group.name]?.check(
          input, before: before[group.name], after: group, records: said, route: routes[group.name], surroundings, now: now)
        ?? ["\(group.name) came from nowhere"]
      if isFull { wrong += memory.violations(group) }
    }
    for name in groups.keys where after[name] == nil {
      wrong += groups[name]?.farewellViolations(input, before[name], now) ?? []
      groups[name] = nil
    }
    if let deadline = after.nextDeadline, deadline <= now { wrong.append("the next deadline is in the past: the loop would spin") }
    return wrong
  }

  /// - Parameter told: what reaches people; a canary tells them something else.
  func explanationViolations(
    of engine: Engine, now: Instant, told: (Explanation) -> Explanation = { $0 }
  ) -> [String] {
    engine.groups.flatMap { group -> [String] in
      guard let explanation = engine.explanation(of: group.name, at: now), let route = routes[group.name] else {
        return ["\(group.name) is not explained"]
      }
      return ExplanationAuditor.violations(told(explanation), of: group, route, now: now)
    }
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
