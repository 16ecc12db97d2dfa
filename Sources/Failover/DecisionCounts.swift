package import Model

/// How many decisions there were since the start, of which kind, and why primaries changed. The decisions themselves are the journal's.
package struct DecisionCounts: Sendable {
  /// By group, then by the label of the reason.
  private var changes: [GroupName: [String: Int]] = [:]
  package private(set) var byKind: [Decision.Kind: Int] = [:]

  package init() {}

  package mutating func add(_ decision: Decision) {
    byKind[decision.kind, default: 0] += 1
    if decision.kind.changesPrimary { changes[decision.group, default: [:]][decision.reason.label, default: 0] += 1 }
    // Groups come and go at run time; their counters must not stay behind.
    if decision.kind == .groupDeleted { changes[decision.group] = nil }
  }

  /// How often the primary of `group` changed for the reason with this label.
  package func changes(of group: GroupName, because label: String) -> Int { changes[group]?[label] ?? 0 }
}
