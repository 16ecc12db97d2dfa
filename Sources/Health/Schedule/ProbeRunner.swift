import Logging
import Model
import NIOCore
import NIOPosix

/// Runs probes when the schedule says so, holds each to its timeout, and reports what they find. Lives on one event loop.
final class ProbeRunner {
  typealias Number = ProbeSchedule.Number

  /// Descriptors and SYNs in flight at one time; more members than this are probed in turn.
  private static let maximumInFlight = 512
  /// So many plain connects are begun before those that have answered meanwhile are heard: their latency is not to be that of all the others.
  private static let begunAtOnce = 64
  /// So long may passes that are no news wait for others of a large plan: a wake-up of the control loop costs more than what a pass says.
  private static let longestWait = Duration.milliseconds(10)

  private let loop: any EventLoop
  private let hashing: NIOThreadPool
  private let connector: Connector
  private let logger: Logger
  private let ledger: ProbeLedger
  private let onReports: ([ProbeReport]) -> Void
  private var random: SeededGenerator
  private var schedule = ProbeSchedule(maximumInFlight: ProbeRunner.maximumInFlight)
  private var connects = PlainConnects()
  /// All others.
  private var active: [Number: Activity] = [:]
  /// Connects beside conversations that were asked for: whether the port still takes any. Only a refusal is news.
  private var knocks: [Number: Connector.Ticket] = [:]
  private var lastSerial: UInt64 = 0
  /// Of the probes in flight: when they are late, and then when their time is over.
  private var timeouts = DeadlineHeap()
  private var companions = Companions()
  private var failures = FailurePool()
  private var lateness = HostLateness() { didSet { ledger.withLateness { $0 = lateness } } }
  /// What was found and not told yet, the oldest first, because none of it is urgent.
  private var found: [ProbeReport] = []
  private var oldestFound = Instant.now
  private lazy var presence = Presence(of: self)
  private var alarm: (at: Instant, task: Scheduled<Void>)?
  private var isLooking = false

  init(
    loop: any EventLoop, hashing: NIOThreadPool, seed: UInt64, logger: Logger, ledger: ProbeLedger,
    onReports: @escaping ([ProbeReport]) -> Void
  ) {
    self.loop = loop
    self.hashing = hashing
    connector = Connector(loop: loop)
    self.random = SeededGenerator(seed: seed)
    self.logger = logger
    self.ledger = ledger
    self.onReports = onReports
    connector.onNews = { [weak presence] in presence?.owner.hearNews() }
  }

  func replace(_ targets: [ProbeTarget], of group: GroupName) {
    let targets = targets.filter { $0.member.group == group }
    var wanted = Dictionary(targets.map { ($0.member.backend, $0) }, uniquingKeysWith: { _, last in last })
    for number in ledger.withTable({ $0.numbers(of: group) }) {
      guard let present = ledger.withTable({ $0.target(number) }) else { continue }
      guard let target = wanted.removeValue(forKey: present.member.backend) else {
        remove(number)
        continue
      }
      if target != present { change(number, to: target) }
    }
    for target in targets {
      if let new = wanted.removeValue(forKey: target.member.backend) { add(new) }
    }
    look()
  }

  func probeNow(_ key: MemberKey) {
    guard let number = ledger.withTable({ $0.number(of: key) }) else { return }
    schedule.probeSoon(number, now: .now)
    if schedule.isProbing(number), let refusal = knock(number) { refused(number, refusal) }
    look()
  }

  func stop() {
    for number in connects.numbers + Array(active.keys) + companions.numbers { drop(number) }
    alarm?.task.cancel()
    alarm = nil
    schedule = ProbeSchedule(maximumInFlight: 0)
  }

  private func add(_ target: ProbeTarget) {
    let number = schedule.add(interval: target.check.interval, now: .now)
    ledger.withTable { $0.add(target, as: number) }
  }

  private func change(_ number: Number, to target: ProbeTarget) {
    drop(number)
    schedule.change(number, interval: target.check.interval, now: .now)
    ledger.withTable { $0.change(number, to: target) }
  }

  private func remove(_ number: Number) {
    drop(number)
    schedule.remove(number)
    ledger.withTable { $0.remove(number) }
  }

  /// Ends what is going on with a member.
  private func drop(_ number: Number) {
    timeouts.remove(number)
    if let connect = connects.remove(number) { connector.close(connect.ticket) }
    endKnock(number)
    active.removeValue(forKey: number)?.prober.stop()
    companions.remove(number)?.prober.stop()
  }

  /// Starts what is due, and sets the alarm for what is next.
  private func look() {
    // A probe may end while others are being started: whoever is looking goes on.
    guard !isLooking else { return }
    isLooking = true
    defer { isLooking = false }
    while let next = schedule.nextLook {
      let now = Instant.now
      guard next <= now else { break }
      begin(schedule.start(now: now)[...])
    }
    connector.expectNews()
    setAlarm()
    // A small plan does not look again so soon.
    if let alarm, alarm.at <= oldestFound + Self.longestWait { return }
    tell()
  }

  private func begin(_ numbers: ArraySlice<Number>) {
    var rest = numbers
    while !rest.isEmpty {
      let some = rest.prefix(Self.begunAtOnce)
      for number in some { begin(number) }
      if connects.count > 0 { harvest() }
      rest = rest.dropFirst(some.count)
    }
  }

  private func harvest() {
    connector.harvest { member, failure, now in self.connectEnded(member, failure, now: now) }
  }

  private func hearNews() {
    isLooking = true
    harvest()
    isLooking = false
    look()
  }

  private func tell() {
    if found.isEmpty { return }
    let reports = found
    found = []
    onReports(reports)
  }

  private func setAlarm() {
    let timeout = earlier(timeouts.earliest, companions.earliestTimeout)
    guard let next = earlier(schedule.nextLook, timeout) else { return }
    if let alarm {
      if alarm.at <= next { return }
      alarm.task.cancel()
    }
    let task = loop.assumeIsolated().scheduleTask(deadline: next.deadline) { [weak presence] in
      guard let runner = presence?.owner else { return }
      runner.wake(due: next)
    }
    alarm = (next, task)
  }

  private func wake(due: Instant) {
    alarm = nil
    let now = Instant.now
    lateness.woke(at: now, due: due)
    // Not one look for each that ends, but one for all.
    isLooking = true
    // What has been answered meanwhile is not too late.
    harvest()
    expire(now: now)
    isLooking = false
    look()
  }

  private func expire(now: Instant) {
    while let number = timeouts.popExpired(at: now) {
      guard let probe = connects[number]?.probe ?? active[number]?.probe else { continue }
      if probe.isWatched {
        doubt(number, probe, now: now)
      } else if let deadline = extendedDeadline(of: probe, now: now) {
        timeouts.set(number, at: deadline)
      } else {
        timeOut(number, probe)
      }
    }
    while let (number, activity) = companions.popExpired(at: now) {
      guard let probe = activity.probe else { continue }
      if let deadline = extendedDeadline(of: probe, now: now) {
        companions.extend(number, until: deadline)
      } else {
        finishCompanion(number, .failed(activity.prober.timeOut(after: probe.timeout)))
      }
    }
  }

  private func timeOut(_ number: Number, _ probe: Activity.Probe) {
    if let connect = connects.remove(number) {
      connector.close(connect.ticket)
      ended(number, .failed(.noConnection(within: probe.timeout)))
    } else if let activity = active[number] {
      finish(number, .failed(activity.prober.timeOut(after: probe.timeout)))
    }
  }

  private func extendedDeadline(of probe: Activity.Probe, now: Instant) -> Instant? {
    lateness.extendedDeadline(start: probe.start, timeout: probe.timeout, before: probe.lateness, now: now)
  }

  private func begin(_ number: Number) {
    guard let (address, check) = ledger.withTable({ $0.question(number) }) else { return }
    let isEarly = schedule.isEarly(number)
    guard check.isPlainConnect else {
      if isEarly, let refusal = knock(number) { return refused(number, refusal) }
      return beginConversation(number)
    }
    let probe = makeProbe(timeout: check.timeout)
    do {
      if let ticket = try connector.probe(address, from: isEarly ? .apart : .any, of: number) {
        wait(for: PlainConnects.Connect(probe: probe, ticket: ticket), of: number, check)
      } else {
        let now = Instant.now
        ended(number, .passed(latency: now - probe.start, role: nil, replication: nil), now: now)
      }
    } catch {
      ended(number, .failed(error))
    }
  }

  private func wait(for connect: PlainConnects.Connect, of number: Number, _ check: HealthCheck) {
    var connect = connect
    let patience = patience(with: number, check)
    connect.probe.isWatched = patience != nil
    connects.add(connect, of: number)
    timeouts.set(number, at: connect.probe.start + (patience ?? check.timeout))
  }

  private func connectEnded(_ number: Number, _ failure: ProbeFailure?, now: Instant) {
    guard let connect = connects.remove(number) else {
      knocks[number] = nil
      if let failure, failure.kind == .refused { refused(number, failure) }
      return
    }
    let outcome = failure.map(ProbeOutcome.failed) ?? .passed(latency: now - connect.probe.start, role: nil, replication: nil)
    ended(number, outcome, now: now)
  }

  /// A server that has just died refuses at once; a conversation with it may be long in coming to that, because it begins from a port like any other
  /// (see `Connector.SourcePorts`), or waits for an answer of which the end has not been noticed yet.
  ///
  /// - Returns: the refusal, if the server is so near that it is here already.
  private func knock(_ number: Number) -> ProbeFailure? {
    guard knocks[number] == nil, let (address, check) = ledger.withTable({ $0.question(number) }), check.mayKnock else {
      return nil
    }
    do {
      knocks[number] = try connector.probe(address, from: .apart, of: number)
      return nil
    } catch {
      return error.kind == .refused ? error : nil
    }
  }

  private func endKnock(_ number: Number) {
    if let ticket = knocks.removeValue(forKey: number) { connector.close(ticket) }
  }

  /// That is the answer to the probe that begins or is in flight, whatever it keeps or waits for.
  private func refused(_ number: Number, _ refusal: ProbeFailure) {
    guard schedule.isProbing(number) else { return }
    active.removeValue(forKey: number)?.prober.stop()
    ended(number, .failed(refusal))
  }

  private func beginConversation(_ number: Number) {
    guard let target = ledger.withTable({ $0.target(number) }) else { return }
    let patience = patience(with: number, target.check)
    var activity = active[number] ?? makeActivity(number, target)
    let probe = makeProbe(timeout: target.check.timeout, isWatched: patience != nil)
    activity.probe = probe
    active[number] = activity
    timeouts.set(number, at: probe.start + (patience ?? probe.timeout))
    activity.prober.begin()
  }

  private func makeProbe(timeout: Duration, isWatched: Bool = false) -> Activity.Probe {
    Activity.Probe(start: .now, timeout: timeout, lateness: lateness.total, isWatched: isWatched)
  }

  /// When a probe of the member is late; nil: it may take its time.
  private func patience(with number: Number, _ check: HealthCheck) -> Duration? {
    guard check.allowsCompanion, !schedule.hasCompanion(number),
      let patience = schedule.patience(with: number, unhealthyThreshold: check.unhealthyThreshold), patience < check.timeout
    else { return nil }
    return patience
  }

  /// The probe is late: a second one begins beside it, unless it is this host that is late.
  private func doubt(_ number: Number, _ probe: Activity.Probe, now: Instant) {
    guard let target = ledger.withTable({ $0.target(number) }) else { return }
    let (timeout, lost) = (probe.start + probe.timeout, lateness.total - probe.lateness)
    // Nil, if meanwhile a kept session or a companion has told enough.
    let late = patience(with: number, target.check).map { probe.start + $0 + lost } ?? timeout
    if late > now, late < timeout {
      timeouts.set(number, at: late)
      return
    }
    active[number]?.probe?.isWatched = false
    connects.setWatched(false, number)
    timeouts.set(number, at: timeout)
    if late < timeout, schedule.startCompanion(of: number) { beginCompanion(number, target) }
  }

  private func beginCompanion(_ number: Number, _ target: ProbeTarget) {
    lastSerial += 1
    let serial = lastSerial
    let prober = makeProber(for: target, on: loop, hashing: hashing, connector: connector, isForOneProbe: true) {
      [weak presence] event in
      guard let self = presence?.owner, let companion = self.companions[number], companion.serial == serial else { return }
      self.received(event, ofCompanion: companion, of: number)
    }
    let probe = makeProbe(timeout: target.check.companionTimeout)
    companions.add(Activity(prober: prober, serial: serial, probe: probe), of: number, until: probe.start + probe.timeout)
    prober.begin()
  }

  private func received(_ event: ProberEvent, ofCompanion companion: Activity, of number: Number) {
    switch event {
    case .passed(let role, let replication):
      guard let start = companion.probe?.start else { return }
      finishCompanion(number, .passed(latency: .now - start, role: role, replication: replication))
    case .failed(let failure, _):
      finishCompanion(number, .failed(failure))
    case .sessionEnded, .sessionClosed:
      // Its only probe is over before that.
      break
    }
  }

  private func finishCompanion(_ number: Number, _ outcome: ProbeOutcome) {
    guard let companion = companions.remove(number) else { return }
    companion.prober.stop()
    schedule.companionFinished(of: number)
    report(number, outcome)
    look()
  }

  private func makeActivity(_ number: Number, _ target: ProbeTarget) -> Activity {
    lastSerial += 1
    let serial = lastSerial
    let prober = makeProber(for: target, on: loop, hashing: hashing, connector: connector) { [weak presence] event in
      guard let self = presence?.owner, self.active[number]?.serial == serial else { return }
      self.received(event, of: number)
    }
    return Activity(prober: prober, serial: serial)
  }

  private func received(_ event: ProberEvent, of number: Number) {
    switch event {
    case .passed(let role, let replication):
      guard let start = active[number]?.probe?.start else { return }
      finish(number, .passed(latency: .now - start, role: role, replication: replication))
    case .failed(let failure, let sessionEnded):
      finish(number, .failed(failure))
      if sessionEnded { schedule.sessionEnded(number, now: .now) }
      look()
    case .sessionEnded(let failure):
      forgetIdleProber(of: number)
      report(number, .failed(failure))
      schedule.sessionEnded(number, now: .now)
      look()
    case .sessionClosed:
      forgetIdleProber(of: number)
      schedule.sessionEnded(number, now: .now)
      look()
    }
  }

  private func finish(_ number: Number, _ outcome: ProbeOutcome) {
    guard active[number]?.probe != nil else { return }
    active[number]?.probe = nil
    forgetIdleProber(of: number)
    ended(number, outcome)
  }

  /// The probe in flight.
  private func ended(_ number: Number, _ outcome: ProbeOutcome, now: Instant = .now) {
    timeouts.remove(number)
    endKnock(number)
    schedule.finished(number, using: &random)
    report(number, outcome, now: now)
    look()
  }

  private func forgetIdleProber(of number: Number) {
    guard let activity = active[number], activity.probe == nil, !activity.prober.keepsSession else { return }
    active[number] = nil
  }

  private func report(_ number: Number, _ outcome: ProbeOutcome, now: Instant = .now) {
    let outcome = failures.shared(outcome)
    schedule.learn(outcome, of: number)
    let (isNews, key) = ledger.withTable { ($0.record(outcome, of: number), $0.key(number)) }
    guard let key else { return }
    if isNews { log(key, outcome) }
    if found.isEmpty { oldestFound = now }
    found.append(ProbeReport(member: key, outcome: outcome, found: now))
    // Whatever may lead to a decision waits for nobody. What was found before it comes first.
    if isNews || outcome.isUrgent { tell() }
  }

  /// One line a change, not one a probe.
  private func log(_ key: MemberKey, _ outcome: ProbeOutcome) {
    var metadata: Logger.Metadata = ["group": "\(key.group)", "backend": "\(key.backend)"]
    switch outcome {
    case .passed(let latency, let role, _):
      metadata["latency"] = "\(latency.text)"
      if let role { metadata["role"] = "\(role)" }
      logger.debug("probe passes", metadata: metadata)
    case .failed(let failure):
      metadata["failure"] = "\(failure)"
      logger.info("probe fails", metadata: metadata)
    }
  }
}

extension ProbeOutcome {
  /// One more pass of a member that passed before can wait for a moment.
  fileprivate var isUrgent: Bool { if case .passed(_, nil, nil) = self { false } else { true } }
}

private func earlier(_ a: Instant?, _ b: Instant?) -> Instant? {
  guard let a, let b else { return a ?? b }
  return min(a, b)
}
