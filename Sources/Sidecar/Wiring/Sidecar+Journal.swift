import Failover
import Foundation
import Journal
import LebaConfiguration
import Logging
import Model

extension Journal {
  /// Keeps the last good answer of each name.
  func take(_ update: DiscoveryUpdate) {
    guard update.age == nil else { return }
    switch update.outcome {
    case .answer(let endpoints) where !endpoints.isEmpty:
      note(update.domain, endpoints: endpoints, attributes: update.attributes)
    // The authority says that there is nothing to go to: a later start must not believe otherwise.
    case .answer, .empty: forget(update.domain)
    case .failed: break
    }
  }

  /// What became of a group. One of which there is nothing to tell is not kept.
  func take(_ memory: GroupMemory) {
    let key = FactKey(.groupState, memory.group)
    if memory == GroupMemory(group: memory.group) { return remove(key) }
    store(key, encoding: memory)
  }

  func store<Value: Encodable>(_ key: FactKey, encoding value: Value) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    guard let json = try? encoder.encode(value) else { return }
    store(key, json: String(decoding: json, as: UTF8.self))
  }

  /// All facts of a kind that can be read. What cannot be is left where it is, and told.
  func decode<Value: Decodable>(_ kind: FactKind, as type: Value.Type, logger: Logger) -> [(name: String, value: Value)] {
    facts(of: kind).compactMap { name, json in
      do {
        return (name, try JSONDecoder().decode(type, from: Data(json.utf8)))
      } catch {
        logger.warning("what the journal has of the \(kind.text) '\(name)' cannot be read and is not used: \(error)")
        return nil
      }
    }
  }
}

extension FactKind {
  fileprivate var text: String {
    switch self {
    case .dnsBackend: "DNS backend"
    case .backend: "backend"
    case .group: "group"
    case .member: "member"
    case .window: "maintenance window"
    case .groupState: "state of the group"
    }
  }
}

extension AuditRecord {
  init(_ decision: Decision, at wall: WallTime) {
    self.init(
      chain: decision.kind.isRoutine ? .routine : .decisions, at: wall.milliseconds, group: decision.group.rawValue,
      kind: decision.kind.rawValue, from: decision.from?.rawValue, to: decision.to?.rawValue, label: decision.reason.label,
      reason: decision.reason.description, evidence: decision.evidence)
  }
}

extension Decision.Kind {
  /// Comes in thousands where thousands of names come and go, and would push out of the history what matters.
  var isRoutine: Bool {
    switch self {
    case .groupCreated, .memberAdded, .memberRemoved, .healthChanged, .roleChanged, .addressRefused, .degraded, .restored: true
    case .elected, .failover, .failback, .manual, .holdBegan, .holdEnded, .twoWritable, .groupChanged, .groupDeleted, .drained,
      .undrained, .maintenanceBegan, .maintenanceEnded, .maintenanceCancelled, .failoversSuspended, .failoversResumed,
      .overrideLifted, .shadowed:
      false
    }
  }
}
