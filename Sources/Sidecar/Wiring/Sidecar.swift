import ControlAPI
import Discovery
import Failover
import Foundation
import Health
import Journal
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization
import UnixSignals

/// The running process: the parts, wired along the flow of docs/ARCHITECTURE.md, from start to drained end.
final class Sidecar: Sendable {
  let configuration: Configuration
  let configurationFile: String
  let logger: Logger
  let loop: ControlLoop
  let proxy: Proxy
  let discovery: Discovery
  let health: HealthChecker
  let journal: Journal
  /// Those of the configuration, and those of groups that come and go.
  let listeners: ListenerKeeper
  /// What is recorded, for those who listen through the API.
  let eventFeed = EventFeed()
  let startedAt = ContinuousClock.now
  let phase = Mutex(Phase.starting)
  enum Phase {
    case starting, running, draining
  }

  /// Opens the listeners, so that whatever is wrong with them is known before anything else happens.
  init(_ configuration: Configuration, file: String, logger: Logger) throws {
    self.configuration = configuration
    self.configurationFile = file
    self.logger = logger
    let journal = Journal(directory: configuration.stateDirectory, now: { Date().timeIntervalSince1970 }) { notice in
      logger.log(level: notice.severity.logLevel, "\(notice.text)")
    }
    self.journal = journal
    var settings = Proxy.Settings()
    settings.workers = configuration.workers
    settings.engine = configuration.engine
    do throws(any Error) {
      let loop = try ControlLoop()
      self.loop = loop
      proxy = try Proxy(settings: settings) { signal in loop.post(.dataPathFailed(signal)) }
      for listener in configuration.listeners { try proxy.open(listener) }
      health = HealthChecker(seed: .random(in: .min ... .max), logger: logger) { report in loop.post(.probeFinished(report)) }
      discovery = try Discovery(
        settings: configuration.resolver, ownListeners: configuration.listeners.map(\.address) + [configuration.apiAddress],
        seed: .random(in: .min ... .max),
        onUpdate: { update in
          if !update.isRepeat { loop.post(.discoveryUpdated(update)) }
          journal.take(update)
        },
        onNotice: { notice in logger.log(level: notice.severity.logLevel, "\(notice.text)") })
      listeners = ListenerKeeper(
        configuration, open: configuration.listeners, proxy: proxy, discovery: discovery, logger: logger)
    } catch {
      throw StartError("\(error)")
    }
  }

  /// Serves until SIGTERM or SIGINT, then drains. A second signal ends the process at once.
  func run() async throws {
    // A file size limit is a full disk to the journal, and no reason to end.
    signal(SIGXFSZ, SIG_IGN)
    // libdispatch makes its timer descriptor with the first timer, and traps when there is none to be had by then: have it now.
    try await Task.sleep(for: .nanoseconds(1))
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    do {
      try discovery.start()
    } catch {
      throw StartError("cannot start the resolver: \(error)")
    }
    startControl()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      let (listening, continuation) = AsyncStream.makeStream(of: Void.self)
      let server = ControlServer(address: configuration.apiAddress, plane: self, logger: logger) { continuation.finish() }
      tasks.addTask { [configuration] in
        do {
          try await server.run()
        } catch {
          throw StartError("cannot serve the API on \(configuration.apiAddress): \(error); choose another api.address")
        }
      }
      tasks.addTask { [self] in
        for await _ in listening {}
        // Without the API the sidecar would run unseen: it does not start.
        if Task.isCancelled { return }
        await startTraffic()
        await drain(on: signals)
        await server.stop()
      }
      // Not waitForAll: that reports a failure only after the others have ended too.
      while try await tasks.next() != nil {}
    }
    await stop()
  }

  private func startControl() {
    let actuators = ControlLoop.Actuators(
      publish: { [proxy] change in proxy.publish(change) },
      replaceProbes: { [health] group, targets in health.replace(targets, of: group) },
      probeNow: { [health] member in health.probeNow(member) },
      lookUpNow: { [discovery] domain in discovery.refresh(domain) },
      record: { [logger, eventFeed] decision in
        logger.log(decision)
        eventFeed.publish(EventRecord(decision, at: .now))
      },
      follow: { [listeners] groups, ports in listeners.follow(groups, ports: ports) })
    var topology = configuration.topology
    Self.restoreEntries(from: journal, into: &topology, logger: logger)
    loop.start(Engine(holdRemoved: configuration.resolver.holdRemoved), topology, actuators: actuators)
  }

  private func startTraffic() async {
    let remembered = journal.rememberedAnswers()
    // First the groups: a name from the hosts file is resolved at once, and an answer before them would find nobody who wants it.
    // And whoever asks the loop from now on asks after they are there.
    await loop.command { [discovery] state, now in
      let effects = state.engine.handle(.groupsConfigured(state.topology.groups, leaving: .atOnce), now: now)
      discovery.watch(state.topology.domains, remembered: remembered)
      return ((), effects)
    }
    phase.withLock { $0 = .running }
    logger.notice(
      """
      leba \(VersionCommand.current) is running: engine \(proxy.engineInUse), at most \(proxy.connectionLimit) connections, \
      API on \(configuration.apiAddress)
      """)
    for listener in configuration.listeners {
      logger.notice("listening on \(listener.address) for \(listener.group) (\(listener.role.rawValue))")
    }
    if configuration.groups.isEmpty && configuration.domains.isEmpty {
      logger.warning("no group and no DNS backend is configured: there is nothing to proxy")
    }
  }

  private func drain(on signals: UnixSignalsSequence) async {
    var received = signals.makeAsyncIterator()
    guard let first = await received.next() else { return }
    phase.withLock { $0 = .draining }
    logger.notice("\(first): draining for up to \(configuration.drainTimeout.text); a second signal stops at once")
    let impatient = Task { [logger, proxy] in
      var received = received
      guard let second = await received.next() else { return }
      logger.warning("\(second): stopping at once")
      proxy.stop()
      Foundation.exit(CommandFailure.Code.requestFailed.rawValue)
    }
    await proxy.drain(timeout: configuration.drainTimeout)
    impatient.cancel()
  }

  private func stop() async {
    discovery.stop()
    await health.stop()
    proxy.stop()
    loop.stop()
    journal.close()
    logger.notice("stopped")
  }
}

extension NoticeSeverity {
  fileprivate var logLevel: Logger.Level {
    switch self {
    case .info: .info
    case .warning: .warning
    case .error: .error
    }
  }
}

/// Why the process could not start, for a person, with what to do.
struct StartError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension Logger {
  /// One line a decision: what people read first after an incident.
  fileprivate func log(_ decision: Decision) {
    let level: Logger.Level =
      switch decision.kind {
      case .holdBegan, .twoWritable: .error
      case .failover, .maintenanceCancelled, .failoversSuspended: .warning
      case .addressRefused: .warning
      case .elected, .failback, .manual, .holdEnded, .groupCreated, .groupChanged, .groupDeleted, .memberAdded, .memberRemoved,
        .healthChanged, .roleChanged, .drained, .undrained, .maintenanceBegan, .maintenanceEnded, .degraded, .restored,
        .failoversResumed, .overrideLifted, .shadowed:
        .notice
      }
    let change = [decision.from.map { "from \($0)" }, decision.to.map { decision.from == nil ? "\($0)" : "to \($0)" }]
      .compactMap { $0 }.joined(separator: " ")
    log(level: level, "\(decision.group): \(decision.kind.rawValue) \(change)\(change.isEmpty ? "" : ": ")\(decision.reason)")
  }
}
