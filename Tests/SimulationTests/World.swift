import Failover
import Model

/// A virtual world around one engine: servers that fail, names that lie, clients, operators, restarts, and a clock that jumps from event to event.
///
/// Probes are made by a fake prober that follows the engine's own plan; what they find is the truth about the server at that moment.
/// Every input is audited, so the first wrong step is the one that is reported.
struct World {
  // MARK: The truth

  enum Condition: CaseIterable { case alive, dead, frozen, sick, locked, unreachable }

  struct Server {
    let address: IPAddress
    var condition = Condition.alive
    var writable = false
    /// Grows with each promotion in the cluster; a replica follows.
    var timeline: UInt32 = 1
    var lag = Duration.zero
    /// How much longer than usual it takes to answer.
    var slowness = 1
  }

  enum NameServer { case honest, failing, empty, stale, lying }

  /// Servers that belong together, and the names that lead to them.
  struct Cluster {
    let primaryName: DomainName
    let replicaName: DomainName
    /// An SRV name, with a tier and a weight for each server.
    let serviceName: DomainName
    var tiers: [Int: UInt16] = [:]
    /// Servers in whose place the service has a record with the target `.`.
    var drained: Set<Int> = []
    var servers: [Server]
    /// No name leads to it; people add it to groups.
    var spare: Server
    /// Some databases keep it to themselves.
    let tellsTimeline: Bool
    /// Which server the primary's name leads to.
    var named = 0
    var nameServer = NameServer.honest
    var lastAnswers: [DomainName: DiscoveryUpdate] = [:]

    var names: [DomainName] { [primaryName, replicaName, serviceName] }
  }

  /// What is going to happen. `epoch` kills probes of a plan that is no more.
  enum Happening {
    case probe(MemberKey, epoch: Int)
    case probeEnds(ProbeReport, epoch: Int)
    case lookUp(DomainName, early: Bool)
    case answer(DiscoveryUpdate)
    case client
    case signal(DataPathSignal)
    case fault
    case promotion(cluster: Int, server: Int)
    case operate
    case creation(GroupName)
    case restart
  }

  private struct Probing {
    let target: ProbeTarget
    let epoch: Int
    var busy = false
    /// The regular one that is scheduled; an early probe replaces it.
    var nextStart = Instant.zero
  }

  private(set) var now = Instant.zero
  var engine: Engine
  private(set) var auditor: Auditor
  private(set) var wrong: [String] = []
  private(set) var log: [String] = []
  private(set) var inputs = 0
  private(set) var decisions: [Decision] = []
  private(set) var publications = 0
  var random: SeededGenerator
  var clusters: [Cluster]
  /// What is described at first, and in the end.
  let described: [GroupSpecification]
  /// What configuration and DNS describe just now.
  var describedNow: [GroupSpecification]
  private let told: (GroupSpecification) -> GroupSpecification
  var hostStalls = false
  /// Nobody can be reached from this host.
  var hostIsCutOff = false
  /// Where the clock on the wall stands at instant zero.
  var wallAtZero = WallTime(milliseconds: 1_800_000_000_000)
  var keeper = Keeper()
  /// Groups that people made.
  var madeByRequest: Set<GroupName> = []
  /// Members that people added, by group.
  var additions: [GroupName: MemberSource] = [:]
  var configuredWindows: [MaintenanceWindow] = []
  var windowNumber = 0
  let plan: WorldPlan
  private let auditedHoldRemoved: Duration
  var healed = false
  private var agenda = Agenda<Happening>()
  private var probing: [MemberKey: Probing] = [:]
  private var epoch = 0
  private var earlyLookUps: [DomainName: Instant] = [:]
  let sabotage: Sabotage

  /// - Parameter told: what the auditor is told of each group; a canary tells it something else than the engine.
  init(
    seed: UInt64, sabotage: Sabotage = .none, told: @escaping (GroupSpecification) -> GroupSpecification = { $0 },
    holdRemovedTold: Duration? = nil
  ) {
    var random = SeededGenerator(seed: seed)
    let plan = WorldPlan(using: &random)
    self.plan = plan
    auditedHoldRemoved = holdRemovedTold ?? plan.holdRemoved
    engine = Engine(holdRemoved: plan.holdRemoved, zone: plan.zone)
    auditor = Auditor(holdRemoved: auditedHoldRemoved)
    clusters = plan.clusters
    described = plan.specifications
    describedNow = plan.specifications
    self.told = told
    self.random = random
    self.sabotage = sabotage
    feed(.wallClockRead(wall))
    describe(plan.specifications, leaving: .afterHold)
    for cluster in clusters {
      // The start may have to do with what is remembered of an earlier run.
      let remembers = self.random.chance(30)
      for name in cluster.names {
        if remembers, let truth = cluster.truth(of: name) {
          feed(
            .discoveryUpdated(
              DiscoveryUpdate(domain: name, outcome: truth.outcome, isDrained: truth.isDrained, age: .seconds(7200))))
        }
        agenda.add(.lookUp(name, early: false), at: now)
      }
    }
    agenda.add(.client, at: now)
    agenda.add(.fault, at: now + self.random.duration(milliseconds: 0...2000))
    agenda.add(.operate, at: now + self.random.duration(milliseconds: 0...5000))
    if self.random.chance(60) { agenda.add(.restart, at: now + self.random.duration(milliseconds: 1000...20_000)) }
  }

  var isSafe: Bool { wrong.isEmpty }
  /// A canary goes on after what is noticed first, and not for long.
  var mostWrong = 1

  /// Lets the world go on until `end`, or until something is wrong.
  mutating func run(until end: Instant) {
    while wrong.count < mostWrong {
      let deadline = sabotage == .sleepsThroughDeadlines ? nil : engine.nextDeadline
      let next = agenda.earliest
      guard let moment = [deadline, next].compactMap({ $0 }).min(), moment <= end else { break }
      now = max(now, moment)
      // Time first: a fact must not be judged by a state that time has already changed.
      if let deadline, deadline <= now {
        feed(.deadlineReached)
      } else if let happening = agenda.removeEarliest() {
        happen(happening)
      }
    }
    now = max(now, end)
  }

  mutating func schedule(_ happening: Happening, after delay: Duration) { agenda.add(happening, at: now + delay) }

  mutating func note(_ line: String) { log.append("\(now.nanoseconds / 1_000_000) ms: \(line)") }

  // MARK: Inputs

  mutating func feed(_ event: Event) {
    audit(.event(event)) { [now, sabotage] in $0.handle(sabotage.apply(to: event), now: now) }
  }

  mutating func setPrimary(of group: GroupName, to id: BackendID, force: Bool, pin: Bool) {
    request(.setPrimary(group, id, force: force, pin: pin), "\(group) to \(id)\(force ? ", force" : "")\(pin ? ", pin" : "")") {
      engine, now throws(CommandError) in try engine.setPrimary(of: group, to: id, force: force, pin: pin, now: now)
    }
    if sabotage == .liftsOverrides { _ = try? engine.liftOverride(of: group, now: now) }
  }

  /// What a person asks for. A refusal must have changed nothing.
  ///
  /// - Returns: whether it was done.
  @discardableResult
  mutating func request(
    _ input: Input, _ line: String, _ apply: (inout Engine, Instant) throws(CommandError) -> [Effect]
  ) -> Bool {
    let before = engine
    do throws(CommandError) {
      let effects = try apply(&engine, now)
      note("operator: \(line)")
      judge(input, before, effects)
      return true
    } catch {
      if engine.table != before.table { wrong.append("a refused request changed the table") }
      return false
    }
  }

  var wall: WallTime { wallAtZero + (now - .zero) }

  /// The clock on the wall is set.
  mutating func setClock(by jump: Duration) {
    wallAtZero = wallAtZero + jump
    note("the clock jumps by \(jump.text)")
    feed(.wallClockRead(wall))
  }

  /// kill -9 and a new process: what is in memory is gone, and what was asked to be kept in the last moments perhaps, too.
  mutating func restart(losing lost: Duration) {
    note("restart, losing the last \(lost.text)")
    keeper.crash(losingAfter: now - lost)
    engine = Engine(holdRemoved: plan.holdRemoved, zone: plan.zone)
    auditor = Auditor(holdRemoved: auditedHoldRemoved, memories: keeper.memories, windows: keeper.windows)
    probing = [:]
    earlyLookUps = [:]
    feed(.wallClockRead(wall))
    feed(.remembered(groups: keeper.memories, windows: keeper.windows))
    feed(.windowsConfigured(configuredWindows))
    for name in madeByRequest.sorted() { create(name) }
    describe(describedNow, leaving: .afterHold)
    for (name, source) in additions.sorted(by: { $0.key < $1.key }) { add(source, to: name) }
    for cluster in clusters {
      for name in cluster.names where random.chance(60) {
        guard let last = cluster.lastAnswers[name] else { continue }
        feed(.discoveryUpdated(DiscoveryUpdate(domain: name, outcome: last.outcome, isDrained: last.isDrained, age: .seconds(60))))
      }
    }
  }

  mutating func add(_ source: MemberSource, to group: GroupName) {
    let isDone = request(.added(source, to: group), "adds \(source.origin) to \(group)") { engine, now throws(CommandError) in
      try engine.addMember(source, to: group, now: now)
    }
    if isDone { additions[group] = source }
  }

  /// Takes a group away through the API; it is created again a moment later.
  mutating func delete(_ name: GroupName) throws {
    let before = engine
    madeByRequest.remove(name)
    additions[name] = nil
    judge(.deleted(name), before, try engine.deleteGroup(name, now: now))
    schedule(.creation(name), after: random.duration(milliseconds: 0...3000))
  }

  private mutating func create(_ name: GroupName) {
    // Whoever reads the configuration meanwhile makes it again, too.
    guard let specification = described.first(where: { $0.name == name }), engine[name] == nil else { return }
    let before = engine
    auditor.expect(told(specification), now: now)
    guard let effects = try? engine.createGroup(specification, now: now) else {
      wrong.append("\(name) cannot be created again")
      return
    }
    madeByRequest.insert(name)
    judge(.created(name), before, effects)
  }

  /// Configuration and DNS describe other groups from now on.
  mutating func describe(_ specifications: [GroupSpecification], leaving: Leaving) {
    describedNow = specifications
    auditor.expectDescribed(specifications.map(told), leaving: leaving, now: now)
    feed(.groupsConfigured(specifications, leaving: leaving))
  }

  private mutating func audit(_ input: Input, _ apply: (inout Engine) -> [Effect]) {
    let before = engine
    let effects = apply(&engine)
    if sabotage == .none, case .event(let event) = input {
      wrong += ShortcutAuditor.violations(event, before: before, effects: effects, after: engine, now: now)
      if inputs % 64 == 0 { wrong += ShortcutAuditor.deepViolations(event, before: before, after: engine, now: now) }
    }
    judge(input, before, effects)
  }

  private mutating func judge(_ input: Input, _ before: Engine, _ effects: [Effect]) {
    inputs += 1
    let effects = sabotage.apply(to: effects)
    wrong += auditor.check(input, before: before, effects: effects, after: engine, now: now)
    if sabotage == .none && inputs % 32 == 0 { wrong += Auditor.quietnessViolations(of: engine, now: now) }
    if inputs % 16 == 0 { wrong += auditor.explanationViolations(of: engine, now: now, told: sabotage.apply(to:)) }
    if !wrong.isEmpty { note("wrong after \(input)") }
    for effect in effects {
      switch effect {
      case .publish: publications += 1
      case .replaceProbes(let group, let targets): replan(group, targets)
      case .probeNow(let member): probeEarly(member)
      case .lookUpNow(let domain): lookUpEarly(domain)
      case .remember, .forget, .rememberWindows: keeper.keep(effect, now: now)
      case .record(let decision):
        decisions.append(decision)
        note("\(decision.group) \(decision.kind.rawValue) \(decision.to?.rawValue ?? "-"): \(decision.reason) \(decision.evidence)")
      }
    }
  }

  // MARK: The prober and the resolver

  private mutating func replan(_ group: GroupName, _ targets: [ProbeTarget]) {
    var kept = probing.filter { $0.key.group != group }
    for target in targets {
      if let running = probing[target.member], running.target == target {
        kept[target.member] = running
        continue
      }
      epoch += 1
      kept[target.member] = Probing(target: target, epoch: epoch, nextStart: now)
      agenda.add(.probe(target.member, epoch: epoch), at: now)
    }
    probing = kept
  }

  private mutating func probeEarly(_ member: MemberKey) {
    guard let running = probing[member], !running.busy else { return }
    probing[member]?.nextStart = now
    agenda.add(.probe(member, epoch: running.epoch), at: now)
  }

  private mutating func lookUpEarly(_ domain: DomainName) {
    if let last = earlyLookUps[domain], now - last < .milliseconds(500) { return }
    earlyLookUps[domain] = now
    agenda.add(.lookUp(domain, early: true), at: now)
  }

  private mutating func startProbe(_ member: MemberKey, epoch: Int) {
    guard let running = probing[member], running.epoch == epoch, !running.busy, running.nextStart <= now else { return }
    let check = running.target.check
    let (outcome, lasts) = probe(running.target)
    probing[member]?.busy = true
    probing[member]?.nextStart = now + max(check.interval, lasts)
    agenda.add(.probeEnds(ProbeReport(member: member, outcome: outcome), epoch: epoch), at: now + lasts)
  }

  private mutating func endProbe(_ report: ProbeReport, epoch: Int) {
    guard let running = probing[report.member], running.epoch == epoch else { return }
    probing[report.member]?.busy = false
    agenda.add(.probe(report.member, epoch: epoch), at: max(now, running.nextStart))
    feed(.probeFinished(report))
  }

  private mutating func probe(_ target: ProbeTarget) -> (ProbeOutcome, Duration) {
    if hostStalls { return (.failed(ProbeFailure(.local, "no descriptors")), .milliseconds(1)) }
    let usual = random.duration(milliseconds: 4...6)
    if hostIsCutOff { return (.failed(ProbeFailure(.timedOut, "no answer")), target.check.timeout) }
    guard let server = server(at: target.address) else { return (.failed(ProbeFailure(.unreachable, "no such host")), usual) }
    let quick = min(usual * server.slowness, target.check.timeout)
    switch server.condition {
    case .alive:
      let role: Role? = target.check.provesRole ? (server.writable ? .primary : .replica) : nil
      return (.passed(latency: quick, role: role, replication: role == nil ? nil : replication(of: server)), quick)
    case .dead: return (.failed(ProbeFailure(.refused, "connection refused")), quick)
    case .frozen: return (.failed(ProbeFailure(.timedOut, "no answer")), target.check.timeout)
    case .sick: return (.failed(ProbeFailure(.badResponse, "status 503")), quick)
    case .locked: return (.failed(ProbeFailure(.authentication, "28P01")), quick)
    case .unreachable: return (.failed(ProbeFailure(.unreachable, "no route")), quick)
    }
  }

  func server(at address: SocketAddress) -> Server? {
    guard case .ip(let ip, _) = address else { return nil }
    for cluster in clusters {
      if let found = cluster.servers.first(where: { $0.address == ip }) { return found }
      if cluster.spare.address == ip { return cluster.spare }
    }
    return nil
  }

  private func replication(of server: Server) -> Replication {
    let tells = clusters.contains { $0.tellsTimeline && $0.servers.contains { $0.address == server.address } }
    return Replication(timeline: tells ? server.timeline : nil, lagTime: server.writable ? nil : server.lag)
  }

  // MARK: What happens

  private mutating func happen(_ happening: Happening) {
    switch happening {
    case .probe(let member, let epoch): startProbe(member, epoch: epoch)
    case .probeEnds(let report, let epoch): endProbe(report, epoch: epoch)
    case .lookUp(let domain, let early):
      if let update = ask(domain) { schedule(.answer(update), after: random.duration(milliseconds: 1...50)) }
      if !early { schedule(.lookUp(domain, early: false), after: random.duration(milliseconds: 900...1100)) }
    case .answer(let update): feed(.discoveryUpdated(update))
    case .client: connectAsClient()
    case .signal(let signal): feed(.dataPathFailed(signal))
    case .fault: if !healed { strike() }
    case .promotion(let cluster, let server): promote(server, in: cluster)
    case .operate: if !healed { operate() }
    case .creation(let name): create(name)
    case .restart:
      if healed { return }
      restart(losing: random.chance(60) ? .zero : random.duration(milliseconds: 1...200))
      if random.chance(40) { schedule(.restart, after: random.duration(milliseconds: 500...10_000)) }
    }
  }

  /// A client connects to somebody who serves and reports what it met; now and then it blames a server for nothing.
  private mutating func connectAsClient() {
    schedule(.client, after: random.duration(milliseconds: 100...600))
    guard let route = auditor.routes.isEmpty ? nil : random.pick(auditor.sortedRoutes) else { return }
    let serving = route.serving(route.members.isEmpty ? .any : random.pick([.primary, .any]))
    guard !serving.isEmpty else { return }
    let id = random.pick(serving)
    let member = MemberKey(group: route.name, backend: id)
    guard let address = route.members.first(where: { $0.backend == id })?.address else { return }
    let kind: DataPathSignal.Kind?
    if hostIsCutOff {
      schedule(.signal(DataPathSignal(member: member, kind: .connectTimedOut)), after: .milliseconds(300))
      return
    }
    switch server(at: address)?.condition {
    case .alive: kind = !healed && random.chance(5) ? random.pick([.reset, .closed]) : nil
    case .dead: kind = .connectRefused
    case .frozen: kind = .connectTimedOut
    case .sick, .locked: kind = .closed
    case .unreachable, nil: kind = .connectUnreachable
    }
    if let kind { schedule(.signal(DataPathSignal(member: member, kind: kind)), after: random.duration(milliseconds: 0...300)) }
  }
}
