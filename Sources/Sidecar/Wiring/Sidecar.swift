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
  let configurationFile: String
  /// What is in force, and what became of the last attempt to change it.
  let settings: Mutex<Settings>
  let logger: Logger
  let loop: ControlLoop
  let proxy: Proxy
  let resolver: CurrentDiscovery
  let health: HealthChecker
  let journal: Journal
  /// Those of the configuration, and those of groups that come and go.
  let listeners: ListenerKeeper
  /// What is recorded, for those who listen through the API.
  let eventFeed = EventFeed()
  private let watch: ConfigurationWatch?
  /// The API's.
  let apiListener: StandaloneListener
  /// Sockets that were open before us, until somebody wants them.
  private let inheritance: Inheritance
  /// The process that this one follows.
  private let takeover: Takeover?
  let door: HandoverDoor
  /// What ends the process, or has it read its configuration again.
  let occasions = AsyncStream.makeStream(of: Occasion.self)
  /// What the audit history that earlier runs left is worth; nil until that is known.
  let auditVerdict = Mutex<AuditVerdict?>(nil)
  let startedAt = ContinuousClock.now
  let phase = Mutex(Phase.starting)
  /// From when the journal is given away, for good or until that is taken back.
  let givesAway = Mutex(false)
  enum Phase {
    case starting, running, draining
  }
  enum Occasion: Sendable {
    case signal(UnixSignal)
    case handedOver(to: Int32)
  }

  /// Opens the listeners, so that whatever is wrong with them is known before anything else happens.
  ///
  /// - Parameters:
  ///   - watch: tells when the file changes; nil: it is read again on request only.
  ///   - inherited: listening sockets that are open already.
  ///   - takeover: the process that this one is to follow, and which has the journal still; its sockets are among `inherited`.
  init(
    _ configuration: Configuration, file: String, watch: ConfigurationWatch?, inherited: [InheritedListener], takeover: Takeover?,
    logger: Logger
  ) throws {
    self.watch = watch
    self.takeover = takeover
    let inheritance = Inheritance(inherited)
    self.inheritance = inheritance
    door = HandoverDoor(directory: configuration.stateDirectory)
    settings = Mutex(Settings(configuration: configuration))
    self.configurationFile = file
    self.logger = logger
    let journal = Journal(
      directory: configuration.stateDirectory, suspended: takeover != nil, now: { Date().timeIntervalSince1970 }
    ) { notice in
      logger.log(level: notice.severity.logLevel, "\(notice.text)")
    }
    self.journal = journal
    var proxySettings = Proxy.Settings()
    proxySettings.workers = configuration.workers
    proxySettings.engine = configuration.engine
    proxySettings.acceptsAtOnce = takeover == nil
    do throws(any Error) {
      let loop = try ControlLoop()
      self.loop = loop
      proxy = try Proxy(settings: proxySettings) { signal in loop.post(.dataPathFailed(signal)) }
      for listener in configuration.listeners {
        try proxy.open(listener, inherited: inheritance.take(listener.name.rawValue, listener.address))
      }
      health = HealthChecker(seed: .random(in: .min ... .max), logger: logger) { reports in loop.post(reports) }
      let resolver = try CurrentDiscovery(
        configuration.resolver, ownListeners: configuration.listeners.map(\.address) + [configuration.apiAddress]
      ) { settings, ownListeners throws(DiscoveryError) in
        try Discovery(
          settings: settings, ownListeners: ownListeners, seed: .random(in: .min ... .max),
          onUpdate: { update in
            if !update.isRepeat { loop.post(.discoveryUpdated(update)) }
            journal.take(update)
          },
          onNotice: { notice in logger.log(level: notice.severity.logLevel, "\(notice.text)") })
      }
      self.resolver = resolver
      listeners = ListenerKeeper(
        configuration, open: configuration.listeners, proxy: proxy, inheritance: inheritance, logger: logger
      ) { addresses in resolver.setOwnListeners(addresses) }
      do throws(ListenError) {
        apiListener = try StandaloneListener(
          "api", configuration.apiAddress, inherited: inheritance.take("api", configuration.apiAddress))
      } catch {
        throw StartError("cannot serve the API on \(configuration.apiAddress): \(error.explanation); choose another api.address")
      }
    } catch let error as StartError {
      throw error
    } catch {
      throw StartError("\(error)")
    }
  }

  var configuration: Configuration { settings.withLock { $0.configuration } }
  var discovery: Discovery { resolver.value }

  /// Serves until SIGTERM or SIGINT, or until another process has taken over, then drains. A second signal ends the process at once.
  func run() async throws {
    // A file size limit is a full disk to the journal, and no reason to end.
    signal(SIGXFSZ, SIG_IGN)
    // libdispatch makes its timer descriptor with the first timer, and traps when there is none to be had by then: have it now.
    try await Task.sleep(for: .nanoseconds(1))
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
    do {
      try discovery.start()
    } catch {
      throw StartError("cannot start the resolver: \(error)")
    }
    let listening = Task { [occasions] in for await signal in signals { occasions.continuation.yield(.signal(signal)) } }
    defer { listening.cancel() }
    startControl()
    if let takeover { try await prepare(takeover) }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      let (listening, continuation) = AsyncStream.makeStream(of: Void.self)
      guard let socket = apiListener.copy() else { throw StartError("cannot serve the API: no descriptor is left") }
      let server = ControlServer(
        address: configuration.apiAddress, socket: socket.descriptor, plane: self, logger: logger
      ) { continuation.finish() }
      tasks.addTask { [address = configuration.apiAddress] in
        do {
          try await server.run()
        } catch {
          throw StartError("cannot serve the API on \(address): \(error); choose another api.address")
        }
      }
      tasks.addTask { [self] in
        for await _ in listening {}
        // Without the API the sidecar would run unseen: it does not start.
        if Task.isCancelled { return }
        if let takeover { try await finish(takeover) } else { await startTraffic() }
        openDoor()
        let isHandedOver = await untilTheEnd()
        // Who asks for the API from now on is to find the other process.
        if isHandedOver { await server.stop() }
        await drain(handedOver: isHandedOver)
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
      lookUpNow: { [resolver] domain in resolver.value.refresh(domain) },
      record: { [logger, journal, feed = eventFeed] decision in
        logger.log(decision)
        feed.publish(EventRecord(journal.append(AuditRecord(decision, at: .of(decision.at)))))
      },
      remember: { [journal] memory in journal.take(memory) },
      forget: { [journal] group in journal.remove(FactKey(.groupState, group.rawValue)) },
      rememberWindows: { [self] windows in keep(windows) },
      follow: { [listeners] groups, ports in listeners.follow(groups, ports: ports) })
    let configuration = configuration
    loop.start(
      Engine(holdRemoved: configuration.resolver.holdRemoved, zone: configuration.zone), configuration.topology,
      actuators: actuators)
  }

  func startTraffic() async {
    let remembered = journal.rememberedAnswers()
    // First the groups: a name from the hosts file is resolved at once, and an answer before them would find nobody who wants it.
    // And whoever asks the loop from now on asks after they are there.
    await loop.reconfigure { [self] state, now in
      let effects = restore(&state, now: now)
      resolver.watch(state.topology.domains, remembered: remembered)
      return ((), effects)
    }
    phase.withLock { $0 = .running }
    verifyHistory()
    if takeover == nil { dropUnwanted() }
    logger.notice(
      """
      leba \(VersionCommand.current) is running: engine \(proxy.engine), at most \(proxy.connectionLimit) connections, \
      API on \(configuration.apiAddress)
      """)
    if let watch, !watch.start(onChange: { [self] in Task { await reload(because: "the file changed") } }) {
      logger.warning("changes of \(configurationFile) are not noticed: no inotify; send SIGHUP after a change")
    }
    for listener in configuration.listeners {
      logger.notice("listening on \(listener.address) for \(listener.group) (\(listener.role.rawValue))")
    }
    if configuration.groups.isEmpty && configuration.domains.isEmpty {
      logger.warning("no group and no DNS backend is configured: there is nothing to proxy")
    }
  }

  /// Closes what was open before us and nobody wants.
  @discardableResult
  func dropUnwanted() -> [SocketAddress] {
    let unwanted = inheritance.closeRest()
    for listener in unwanted {
      let name = listener.name.isEmpty ? "" : "'\(listener.name)' "
      logger.warning("the inherited socket \(name)on \(listener.address) is closed: no listener of the configuration is there")
    }
    return unwanted.map(\.address)
  }

  /// - Returns: whether another process has taken over.
  private func untilTheEnd() async -> Bool {
    for await occasion in occasions.stream {
      switch occasion {
      case .signal(.sighup): await reload(because: "SIGHUP")
      case .signal(let signal):
        // One that takes over meanwhile either has the sockets already, or never gets them.
        let isHandedOver = await offThePool { [door] in door.close() }
        let patience = await drainTimeout()
        logger.notice("\(signal): draining for up to \(patience.text); a second signal stops at once")
        return isHandedOver
      case .handedOver(let process):
        _ = await offThePool { [door] in door.close() }
        let patience = await drainTimeout()
        logger.notice("process \(process) has taken over: draining for up to \(patience.text); a signal stops at once")
        return true
      }
    }
    return false
  }

  private func drainTimeout() async -> Duration { await effectiveConfiguration().drainTimeout }

  private func drain(handedOver: Bool) async {
    phase.withLock { $0 = .draining }
    watch?.stop()
    let impatient = Task { [logger, proxy, occasions] in
      for await occasion in occasions.stream {
        guard case .signal(let signal) = occasion else { continue }
        logger.warning("\(signal): stopping at once")
        proxy.stop()
        Foundation.exit(CommandFailure.Code.requestFailed.rawValue)
      }
    }
    await proxy.drain(timeout: drainTimeout(), handedOver: handedOver)
    apiListener.close(handedOver: handedOver)
    impatient.cancel()
    guard handedOver else { return }
    for (name, counts) in proxy.statistics().listeners.sorted(by: { $0.key < $1.key }) {
      logger.notice("\(name): \(counts.accepted) connections were accepted by this process")
    }
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
