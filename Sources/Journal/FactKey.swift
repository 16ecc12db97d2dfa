/// What is kept over a restart under a name: what people made or chose through the API, and what became of each group.
package enum FactKind: String, CaseIterable, Hashable, Sendable {
  case dnsBackend = "dns_backend"
  case backend
  case group
  /// A member that was added to a group: `GROUP/BACKEND`.
  case member
  case window
  /// Who leads a group, and since when: `GroupMemory`.
  case groupState = "group_state"
}

package struct FactKey: Hashable, Comparable, Sendable {
  package let kind: FactKind
  package let name: String

  package init(_ kind: FactKind, _ name: String) {
    self.kind = kind
    self.name = name
  }

  package static func < (a: FactKey, b: FactKey) -> Bool { (a.kind.rawValue, a.name) < (b.kind.rawValue, b.name) }
}
