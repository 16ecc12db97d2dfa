package import Model

/// The newest decisions and counts of all of them, bounded whatever happens.
package struct DecisionHistory: Sendable {
  private let capacity: Int
  private var ring: [Decision] = []
  private var next = 0
  /// By group, then by the label of the reason.
  private var changes: [GroupName: [String: Int]] = [:]
  package private(set) var countByKind: [Decision.Kind: Int] = [:]

  package init(capacity: Int = 1000) { self.capacity = max(1, capacity) }

  package mutating func append(_ decision: Decision) {
    if ring.count < capacity {
      ring.append(decision)
    } else {
      ring[next] = decision
      next = (next + 1) % capacity
    }
    countByKind[decision.kind, default: 0] += 1
    if decision.kind.changesPrimary { changes[decision.group, default: [:]][decision.reason.label, default: 0] += 1 }
    // Groups come and go at run time; their counters must not stay behind.
    if decision.kind == .groupDeleted { changes[decision.group] = nil }
  }

  /// How often the primary of `group` changed for the reason with this label.
  package func changes(of group: GroupName, because label: String) -> Int { changes[group]?[label] ?? 0 }

  package var newestFirst: [Decision] { (ring[next...] + ring[..<next]).reversed() }
}
