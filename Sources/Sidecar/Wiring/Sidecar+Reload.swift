import ControlAPI
import Discovery
import Failover
import Foundation
import LebaConfiguration
import Logging
import Model
import Synchronization

/// Reading the configuration again while we run. Only what differs changes; a bad file changes nothing.
extension Sidecar {
  /// What is in force, and what became of the last attempt to change it.
  struct Settings: Sendable {
    var configuration: Configuration
    var loadedAt = WallTime.current
    /// Why the file as it is now does not count; nil where it does.
    var problem: String?
  }

  var configurationStatus: StatusView.ConfigurationFile {
    let settings = settings.withLock { $0 }
    return StatusView.ConfigurationFile(file: configurationFile, loadedAt: settings.loadedAt, problem: settings.problem)
  }

  func effectiveConfiguration() async -> Configuration {
    var effective = configuration
    effective.topology = await loop.ask { state, _ in state.topology }
    return effective
  }

  /// For who cannot be answered: what comes of it is in the log and in the status.
  func reload(because reason: String) async {
    logger.notice("\(reason): reading \(configurationFile) again")
    _ = try? await reload(dryRun: false)
  }

  func reload(dryRun: Bool) async throws(ControlError) -> ReloadReport {
    let loaded: Configuration
    do throws(ConfigurationError) {
      loaded = try Configuration.load(file: configurationFile, environment: ProcessInfo.processInfo.environment)
    } catch {
      throw refuse(error, dryRun: dryRun)
    }
    let file = configurationFile
    let current = configuration
    // On the control thread, all at once: two reloads come one after the other, and no event falls between the parts of one.
    let (changes, adopted) = await loop.reconfigure { [self] state, now in
      var old = current
      old.topology = state.topology
      var new = loaded
      let adopted = new.topology.adopting(state.topology)
      new.topology = adopted.topology
      let changes = new.differences(from: old)
      if dryRun { return ((changes, adopted), []) }
      state.topology = adopted.topology
      var effects = state.engine.adopt(holdRemoved: new.resolver.holdRemoved, zone: new.zone, now: now)
      effects += state.engine.handle(.windowsConfigured(new.maintenance), now: now)
      effects += state.engine.handle(.groupsConfigured(new.topology.groups, leaving: .atOnce), now: now)
      resolver.watch(new.topology.domains)
      accept(loaded)
      listeners.adopt(configuration)
      return ((changes, adopted), effects)
    }
    if !dryRun {
      if changes.resolver { replaceResolver(loaded.resolver) }
      report(changes, adopted, loaded.warnings)
    }
    return ReloadReport(
      file: file, changes: changes.list, needsRestart: changes.needsRestart.map(\.rawValue),
      warnings: loaded.warnings.map(\.description))
  }

  private func accept(_ new: Configuration) {
    settings.withLock { settings in
      // What is fixed at the start stays as it is, whatever the file says.
      var new = new
      new.engine = settings.configuration.engine
      new.workers = settings.configuration.workers
      new.stateDirectory = settings.configuration.stateDirectory
      new.apiAddress = settings.configuration.apiAddress
      settings = Settings(configuration: new)
    }
  }

  private func refuse(_ error: ConfigurationError, dryRun: Bool) -> ControlError {
    let lines = error.diagnostics.map(\.description)
    if !dryRun {
      settings.withLock { $0.problem = lines.joined(separator: "\n") }
      logger.error("the configuration is refused whole, and the one in force stays")
      for line in lines { logger.error("\(line)") }
    }
    return .refused(lines)
  }

  private func replaceResolver(_ settings: ResolverSettings) {
    do throws(DiscoveryError) {
      try resolver.replace(with: settings, now: .monotonicNow)
    } catch {
      logger.error("the resolver cannot be set up anew, and stays as it is: \(error)")
    }
  }

  private func report(_ changes: ConfigurationChanges, _ adopted: AdoptedTopology, _ warnings: [Diagnostic]) {
    logger.notice(
      "the configuration is in force: \(changes.summary.isEmpty ? "nothing changed" : changes.summary.joined(separator: "; "))")
    for key in changes.needsRestart { logger.warning("'\(key.rawValue)' differs and counts only after a restart") }
    for warning in warnings { logger.warning("\(warning)") }
    for entry in adopted.entries { logger.warning("the DNS backend \(entry.domain), made through the API, goes: \(entry.refusal)") }
    for backend in adopted.backends {
      logger.warning("the backend \(backend.backend), made through the API, goes: \(backend.refusal)")
    }
  }
}

extension ConfigurationChanges {
  fileprivate var list: [ReloadReport.Change] {
    list("failover_groups", groups) + list("dns_backends", domains) + list("backends", backends) + list("listeners", listeners)
      + [("maintenance", windows), ("dns_resolver", resolver), ("zone", zone)].filter(\.1).map {
        ReloadReport.Change(part: $0.0, name: nil, action: .changed)
      }
  }

  private func list<Element>(_ part: String, _ names: Names<Element>) -> [ReloadReport.Change] {
    let actions: [(ReloadReport.Change.Action, [Element])] = [
      (.added, names.added), (.changed, names.changed), (.removed, names.removed),
    ]
    return actions.flatMap { action, names in
      names.map { ReloadReport.Change(part: part, name: $0.rawValue, action: action) }
    }
  }
}
