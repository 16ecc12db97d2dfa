import Logging
import Model
import NIOCore
import NIOPosix

/// Runs probes when the schedule says so, holds each to its timeout, and reports what they find. Lives on one event loop.
final class ProbeRunner {
  private final class Member {
    let target: ProbeTarget
    let number: ProbeSchedule.Number
    /// Made for a probe, and kept after it only where it keeps a session.
    var prober: (any Prober)?
    var probe: Probe?
    var lastVerdict: Verdict?

    init(_ target: ProbeTarget, number: ProbeSchedule.Number) {
      self.target = target
      self.number = number
    }
  }

  private struct Probe {
    let start: Instant
    let timeout: Scheduled<Void>
  }

  /// What is worth a log line when it changes.
  private enum Verdict: Equatable {
    case passed(Role?)
    case failed(ProbeFailure.Kind)
  }

  /// Descriptors and SYNs in flight at one time; more members than this are probed in turn.
  private static let maximumInFlight = 512

  private let loop: any EventLoop
  private let hashing: NIOThreadPool
  private let logger: Logger
  private let statistics: ProbeLedger
  private let onReport: (ProbeReport) -> Void
  private var random: SeededGenerator
  private var schedule = ProbeSchedule(maximumInFlight: ProbeRunner.maximumInFlight)
  private var groups: [GroupName: [BackendID: Member]] = [:]
  /// The same members by their number in the schedule.
  private var members: [Member?] = []
  private var alarm: (at: Instant, task: Scheduled<Void>)?

  init(
    loop: any EventLoop, hashing: NIOThreadPool, seed: UInt64, logger: Logger, statistics: ProbeLedger,
    onReport: @escaping (ProbeReport) -> Void
  ) {
    self.loop = loop
    self.hashing = hashing
    self.random = SeededGenerator(seed: seed)
    self.logger = logger
    self.statistics = statistics
    self.onReport = onReport
  }

  func replace(_ targets: [ProbeTarget], of group: GroupName) {
    let targets = targets.filter { $0.member.group == group }
    let wanted = Dictionary(targets.map { ($0.member.backend, $0) }, uniquingKeysWith: { _, last in last })
    for (backend, member) in groups[group] ?? [:] where wanted[backend] != member.target {
      remove(member)
      if wanted[backend] == nil { statistics.remove(member.target.member) }
    }
    for target in targets where wanted[target.member.backend] == target && self.member(target.member) == nil { add(target) }
    look()
  }

  func probeNow(_ key: MemberKey) {
    guard let member = member(key) else { return }
    schedule.probeSoon(member.number, now: .now)
    look()
  }

  func stop() {
    for case let member? in members { remove(member) }
    alarm?.task.cancel()
    alarm = nil
  }

  private func member(_ key: MemberKey) -> Member? { groups[key.group]?[key.backend] }

  private func add(_ target: ProbeTarget) {
    let number = schedule.add(interval: target.check.interval, now: .now)
    let member = Member(target, number: number)
    groups[target.member.group, default: [:]][target.member.backend] = member
    if Int(number) < members.count { members[Int(number)] = member } else { members.append(member) }
  }

  private func remove(_ member: Member) {
    let key = member.target.member
    groups[key.group]?[key.backend] = nil
    if groups[key.group]?.isEmpty == true { groups[key.group] = nil }
    members[Int(member.number)] = nil
    schedule.remove(member.number)
    member.probe?.timeout.cancel()
    member.probe = nil
    member.prober?.stop()
    member.prober = nil
  }

  /// Starts what is due, and sets the alarm for what is next.
  private func look() {
    while let next = schedule.nextLook {
      let now = Instant.now
      guard next <= now else {
        setAlarm(next)
        return
      }
      for number in schedule.start(now: now) {
        if let member = members[Int(number)] { begin(member, now: now) }
      }
    }
  }

  private func setAlarm(_ instant: Instant) {
    if let alarm {
      if alarm.at <= instant { return }
      alarm.task.cancel()
    }
    let task = loop.assumeIsolated().scheduleTask(deadline: instant.deadline) { [weak self] in
      guard let self else { return }
      self.alarm = nil
      self.look()
    }
    alarm = (instant, task)
  }

  private func begin(_ member: Member, now: Instant) {
    let prober = member.prober ?? makeProber(for: member)
    let limit = member.target.check.timeout
    let timeout = loop.assumeIsolated().scheduleTask(deadline: (now + limit).deadline) { [weak self] in
      guard let self, member.probe?.start == now else { return }
      self.finish(member, .failed(prober.timeOut(after: limit)))
    }
    member.prober = prober
    member.probe = Probe(start: now, timeout: timeout)
    prober.begin()
  }

  private func makeProber(for member: Member) -> any Prober {
    let key = member.target.member
    return Health.makeProber(for: member.target, on: loop, hashing: hashing) { [weak self] event in
      guard let self, let member = self.member(key) else { return }
      self.received(event, of: member)
    }
  }

  private func received(_ event: ProberEvent, of member: Member) {
    switch event {
    case .passed(let role, let replication):
      guard let start = member.probe?.start else { return }
      finish(member, .passed(latency: .now - start, role: role, replication: replication))
    case .failed(let failure, let sessionEnded):
      finish(member, .failed(failure))
      if sessionEnded { schedule.sessionEnded(member.number, now: .now) }
      look()
    case .sessionEnded(let failure):
      forgetIdleProber(of: member)
      report(member, .failed(failure))
      schedule.sessionEnded(member.number, now: .now)
      look()
    case .sessionClosed:
      forgetIdleProber(of: member)
      schedule.sessionEnded(member.number, now: .now)
      look()
    }
  }

  private func finish(_ member: Member, _ outcome: ProbeOutcome) {
    guard let probe = member.probe else { return }
    probe.timeout.cancel()
    member.probe = nil
    forgetIdleProber(of: member)
    schedule.finished(member.number, using: &random)
    report(member, outcome)
    look()
  }

  private func forgetIdleProber(of member: Member) {
    if member.prober?.keepsSession != true { member.prober = nil }
  }

  private func report(_ member: Member, _ outcome: ProbeOutcome) {
    let key = member.target.member
    statistics.record(outcome, of: key)
    log(member, outcome)
    onReport(ProbeReport(member: key, outcome: outcome))
  }

  /// One line a change, not one a probe.
  private func log(_ member: Member, _ outcome: ProbeOutcome) {
    let verdict: Verdict
    let key = member.target.member
    var metadata: Logger.Metadata = ["group": "\(key.group)", "backend": "\(key.backend)"]
    switch outcome {
    case .passed(let latency, let role, _):
      verdict = .passed(role)
      metadata["latency"] = "\(latency.text)"
      if let role { metadata["role"] = "\(role)" }
    case .failed(let failure):
      verdict = .failed(failure.kind)
      metadata["failure"] = "\(failure)"
    }
    guard member.lastVerdict != verdict else { return }
    member.lastVerdict = verdict
    switch verdict {
    case .passed: logger.debug("probe passes", metadata: metadata)
    case .failed: logger.info("probe fails", metadata: metadata)
    }
  }
}
