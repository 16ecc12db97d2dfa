import ControlAPI
import Failover
import Journal
import LebaConfiguration
import Logging
import Model

/// What earlier runs left behind, taken up before the first decision of this one.
extension Sidecar {
  /// First what was declared through the API, then what became of the groups, then the groups of the file, and at last what people
  /// added to them. What the file says now wins, and what cannot be used any more is said.
  func restore(_ state: inout ControlLoop.State, now: Instant) -> [Effect] {
    restoreDeclarations(into: &state.topology)
    var effects = state.engine.handle(.wallClockRead(.current), now: now)
    effects += state.engine.handle(
      .remembered(
        groups: journal.decode(.groupState, as: GroupMemory.self, logger: logger).map(\.value),
        windows: journal.decode(.window, as: StoredWindow.self, logger: logger).compactMap(\.value.memory)), now: now)
    effects += state.engine.handle(.windowsConfigured(configuration.maintenance), now: now)
    let described = Set(state.topology.groups.map(\.name))
    for (name, request) in journal.decode(.group, as: GroupRequest.self, logger: logger) {
      if described.contains(GroupName(name)) {
        logger.notice("the group \(name) was made through the API, and is declared in the file now: the file counts")
        journal.remove(FactKey(.group, name))
        continue
      }
      do throws(GroupRefusal) {
        let (group, problems) = try state.topology.group(
          rememberedAs: request.name, mode: request.mode, backends: request.backends, primary: request.primary)
        for problem in problems { logger.warning("the group \(name), made through the API by an earlier run: \(problem)") }
        effects += (try? state.engine.createGroup(group, now: now)) ?? []
      } catch {
        logger.warning("the group \(name), made through the API by an earlier run, cannot be used: \(error)")
      }
    }
    effects += state.engine.handle(.groupsConfigured(state.topology.groups, leaving: .atOnce), now: now)
    for (name, request) in journal.decode(.member, as: MemberRequest.self, logger: logger) {
      let group = GroupName(String(name.dropLast(request.backend.count + 1)))
      do throws(ControlError) {
        effects += try Self.add(request, to: group, in: &state, now: now)
      } catch {
        logger.warning("the member \(name), added through the API by an earlier run, cannot be used: \(error.text)")
      }
    }
    return effects
  }

  private func restoreDeclarations(into topology: inout Topology) {
    for (domain, request) in journal.decode(.dnsBackend, as: DNSEntryRequest.self, logger: logger) {
      do throws(DNSEntryRefusal) {
        try topology.add(request)
      } catch .exists {
        logger.notice("the DNS backend \(domain) was made through the API, and is declared in the file now: the file counts")
        journal.remove(FactKey(.dnsBackend, domain))
      } catch {
        logger.warning("the DNS backend \(domain), made through the API by an earlier run, cannot be used: \(error)")
      }
    }
    for (id, request) in journal.decode(.backend, as: BackendRequest.self, logger: logger) {
      do throws(BackendRefusal) {
        try topology.addBackend(request)
      } catch .exists {
        logger.notice("the backend \(id) was made through the API, and is declared in the file now: the file counts")
        journal.remove(FactKey(.backend, id))
      } catch {
        logger.warning("the backend \(id), made through the API by an earlier run, cannot be used: \(error)")
      }
    }
  }

  /// All that is to be known of windows after a restart; of the others nothing.
  func keep(_ memories: [WindowMemory]) {
    let ids = Set(memories.map(\.window.id))
    for (id, _) in journal.facts(of: .window) where !ids.contains(id) { journal.remove(FactKey(.window, id)) }
    for memory in memories { journal.store(FactKey(.window, memory.window.id), encoding: StoredWindow(memory)) }
  }
}

/// A maintenance window as the journal has it: instants in milliseconds since 1970, durations in milliseconds.
private struct StoredWindow: Codable {
  let id: String
  let backend: String
  let start: Int64
  let duration: Int64
  let repetition: String?
  let preDrain: Int64
  /// This and the next are absent in what earlier versions wrote.
  let isConfigured: Bool?
  let cancelled: Int64?

  init(_ memory: WindowMemory) {
    let window = memory.window
    id = window.id
    backend = window.backend.rawValue
    start = window.start.milliseconds
    duration = window.duration.nanoseconds / 1_000_000
    repetition = window.repetition?.rawValue
    preDrain = window.preDrain.nanoseconds / 1_000_000
    isConfigured = window.isConfigured
    cancelled = memory.cancelled?.milliseconds
  }

  /// Nil where it repeats in a way that this version does not know.
  var memory: WindowMemory? {
    let repeats = repetition.flatMap(MaintenanceWindow.Repetition.init(rawValue:))
    guard (repeats == nil) == (repetition == nil) else { return nil }
    let window = MaintenanceWindow(
      id: id, backend: BackendID(backend), start: WallTime(milliseconds: start), duration: .milliseconds(duration),
      repetition: repeats, preDrain: .milliseconds(preDrain), isConfigured: isConfigured ?? false)
    return WindowMemory(window, cancelled: cancelled.map(WallTime.init(milliseconds:)))
  }
}

extension ControlError {
  fileprivate var text: String {
    switch self {
    case .command(let error): error.description
    case .dnsEntry(let refusal): refusal.description
    case .invalid(let why), .unknown(let why), .conflict(let why), .unavailable(let why): why
    case .refused(let lines): lines.joined(separator: "; ")
    }
  }
}
