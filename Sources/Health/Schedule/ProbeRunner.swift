import Logging
import Model
import NIOCore
import NIOPosix

/// Runs probes when the schedule says so, holds each to its timeout, and reports what they find. Lives on one event loop.
final class ProbeRunner {
  private struct Member {
    let target: ProbeTarget
    let prober: any Prober
    var probe: Probe?
    var lastVerdict: Verdict?
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
  private var members: [MemberKey: Member] = [:]
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

  func apply(_ plan: [ProbeTarget]) {
    let wanted = Dictionary(plan.map { ($0.member, $0) }, uniquingKeysWith: { _, last in last })
    for (key, member) in members where wanted[key] != member.target {
      remove(key)
      if wanted[key] == nil { statistics.remove(key) }
    }
    let new = wanted.values.filter { members[$0.member] == nil }.sorted { $0.member < $1.member }
    for target in new {
      let key = target.member
      let prober = makeProber(for: target, on: loop, hashing: hashing) { [weak self] event in self?.received(event, of: key) }
      members[key] = Member(target: target, prober: prober)
    }
    schedule.add(new.map { ($0.member, $0.check.interval) }, now: .now)
    look()
  }

  func probeNow(_ member: MemberKey) {
    schedule.probeSoon(member, now: .now)
    look()
  }

  func stop() {
    for key in members.keys { remove(key) }
    alarm?.task.cancel()
    alarm = nil
  }

  private func remove(_ key: MemberKey) {
    guard let member = members.removeValue(forKey: key) else { return }
    member.probe?.timeout.cancel()
    member.prober.stop()
    schedule.remove(key)
  }

  /// Starts what is due, and sets the alarm for what is next.
  private func look() {
    while let next = schedule.nextLook {
      let now = Instant.now
      guard next <= now else {
        setAlarm(next)
        return
      }
      for key in schedule.start(now: now) { begin(key, now: now) }
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

  private func begin(_ key: MemberKey, now: Instant) {
    guard let member = members[key] else { return }
    let deadline = now + member.target.check.timeout
    let timeout = loop.assumeIsolated().scheduleTask(deadline: deadline.deadline) { [weak self] in
      guard let self, let member = self.members[key], member.probe != nil else { return }
      self.finish(key, .failed(member.prober.timeOut(after: member.target.check.timeout)))
    }
    members[key]?.probe = Probe(start: now, timeout: timeout)
    member.prober.begin()
  }

  private func received(_ event: ProberEvent, of key: MemberKey) {
    switch event {
    case .passed(let role):
      guard let start = members[key]?.probe?.start else { return }
      finish(key, .passed(latency: .now - start, role: role))
    case .failed(let failure, let sessionEnded):
      finish(key, .failed(failure))
      if sessionEnded { schedule.sessionEnded(key, now: .now) }
      look()
    case .sessionEnded(let failure):
      report(key, .failed(failure))
      schedule.sessionEnded(key, now: .now)
      look()
    }
  }

  private func finish(_ key: MemberKey, _ outcome: ProbeOutcome) {
    guard let probe = members[key]?.probe else { return }
    probe.timeout.cancel()
    members[key]?.probe = nil
    schedule.finished(key, using: &random)
    report(key, outcome)
    look()
  }

  private func report(_ key: MemberKey, _ outcome: ProbeOutcome) {
    statistics.record(outcome, of: key)
    log(key, outcome)
    onReport(ProbeReport(member: key, outcome: outcome))
  }

  /// One line a change, not one a probe.
  private func log(_ key: MemberKey, _ outcome: ProbeOutcome) {
    let verdict: Verdict
    var metadata: Logger.Metadata = ["group": "\(key.group)", "backend": "\(key.backend)"]
    switch outcome {
    case .passed(let latency, let role):
      verdict = .passed(role)
      metadata["latency"] = "\(latency.text)"
      if let role { metadata["role"] = "\(role)" }
    case .failed(let failure):
      verdict = .failed(failure.kind)
      metadata["failure"] = "\(failure)"
    }
    guard members[key]?.lastVerdict != verdict else { return }
    members[key]?.lastVerdict = verdict
    switch verdict {
    case .passed: logger.debug("probe passes", metadata: metadata)
    case .failed: logger.info("probe fails", metadata: metadata)
    }
  }
}
