import Failover
import Model

/// A virtual world around one engine: servers that fail, names that lie, clients, operators, and a clock that jumps from event to event.
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
  }

  private struct Probing {
    let target: ProbeTarget
    let epoch: Int
    var busy = false
    /// The regular one that is scheduled; an early probe replaces it.
    var nextStart = Instant.zero
  }

  private(set) var now = Instant.zero
  private(set) var engine: Engine
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
  var healed = false
  private var agenda = Agenda<Happening>()
  private var probing: [MemberKey: Probing] = [:]
  private var epoch = 0
  private var earlyLookUps: [DomainName: Instant] = [:]
  private let sabotage: Sabotage

  /// - Parameter told: what the auditor is told of each group; a canary tells it something else than the engine.
  init(
    seed: UInt64, sabotage: Sabotage = .none, told: @escaping (GroupSpecification) -> GroupSpecification = { $0 },
    holdRemovedTold: Duration? = nil
  ) {
    var random = SeededGenerator(seed: seed)
    let plan = WorldPlan(using: &random)
    engine = Engine(holdRemoved: plan.holdRemoved)
    auditor = Auditor(holdRemoved: holdRemovedTold ?? plan.holdRemoved)
    clusters = plan.clusters
    described = plan.specifications
    describedNow = plan.specifications
    self.told = told
    self.random = random
    self.sabotage = sabotage
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
  }

  var isSafe: Bool { wrong.isEmpty }

  /// Lets the world go on until `end`, or until something is wrong.
  mutating func run(until end: Instant) {
    while isSafe {
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
    let before = engine
    do throws(CommandError) {
      let effects = try engine.setPrimary(of: group, to: id, force: force, pin: pin, now: now)
      note("operator: \(group) to \(id)\(force ? ", force" : "")\(pin ? ", pin" : "")")
      judge(.setPrimary(group, id, force: force, pin: pin), before, effects)
    } catch {
      if engine.table != before.table { wrong.append("a refused request changed the table") }
    }
  }

  /// Takes a group away through the API; it is created again a moment later.
  mutating func delete(_ name: GroupName) throws {
    let before = engine
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
    judge(input, before, effects)
  }

  private mutating func judge(_ input: Input, _ before: Engine, _ effects: [Effect]) {
    inputs += 1
    let effects = sabotage.apply(to: effects)
    wrong += auditor.check(input, before: before, effects: effects, after: engine, now: now)
    if sabotage == .none && inputs % 16 == 0 { wrong += Auditor.quietnessViolations(of: engine, now: now) }
    for effect in effects {
      switch effect {
      case .publish: publications += 1
      case .replaceProbes(let group, let targets): replan(group, targets)
      case .probeNow(let member): probeEarly(member)
      case .lookUpNow(let domain): lookUpEarly(domain)
      case .remember, .forget, .rememberWindows: break
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
    let quick = random.duration(milliseconds: 1...10)
    guard let server = server(at: target.address) else { return (.failed(ProbeFailure(.unreachable, "no such host")), quick) }
    switch server.condition {
    case .alive:
      let role: Role? = target.check.provesRole ? (server.writable ? .primary : .replica) : nil
      return (.passed(latency: quick, role: role), quick)
    case .dead: return (.failed(ProbeFailure(.refused, "connection refused")), quick)
    case .frozen: return (.failed(ProbeFailure(.timedOut, "no answer")), target.check.timeout)
    case .sick: return (.failed(ProbeFailure(.badResponse, "status 503")), quick)
    case .locked: return (.failed(ProbeFailure(.authentication, "28P01")), quick)
    case .unreachable: return (.failed(ProbeFailure(.unreachable, "no route")), quick)
    }
  }

  func server(at address: SocketAddress) -> Server? {
    guard case .ip(let ip, _) = address else { return nil }
    return clusters.lazy.flatMap(\.servers).first { $0.address == ip }
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

/// What happens when, in a stable order.
struct Agenda<Element> {
  private var entries: [(at: Instant, number: Int, element: Element)] = []
  private var number = 0

  var earliest: Instant? { entries.first?.at }

  mutating func add(_ element: Element, at instant: Instant) {
    number += 1
    var low = 0
    var high = entries.count
    // Later entries of the same instant go behind earlier ones.
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].at <= instant { low = middle + 1 } else { high = middle }
    }
    entries.insert((instant, number, element), at: low)
  }

  mutating func removeEarliest() -> Element? { entries.isEmpty ? nil : entries.removeFirst().element }
}
