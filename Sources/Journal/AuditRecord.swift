import Crypto

/// One decision, as it is kept. Text and numbers only: the journal does not know what it means.
package struct AuditRecord: Hashable, Sendable, Identifiable {
  /// Decisions about who serves are kept longer than the coming and going of members, of which there can be tens of thousands a minute.
  package enum Chain: Int, CaseIterable, Hashable, Sendable {
    case decisions = 0
    case routine = 1
  }

  /// Grows by one with each record of both chains, over restarts too.
  package internal(set) var id: Int64
  package let chain: Chain
  /// Milliseconds since 1970.
  package let at: Int64
  package let group: String
  package let kind: String
  package let from: String?
  package let to: String?
  /// The reason for machines, and for people.
  package let label: String
  package let reason: String
  package let evidence: [String]
  /// Of this record and, by way of the one before it, of all of its chain. In hexadecimal; nil until it is on the disk.
  package internal(set) var hash: String?

  package init(
    chain: Chain, at: Int64, group: String, kind: String, from: String?, to: String?, label: String, reason: String,
    evidence: [String]
  ) {
    id = 0
    self.chain = chain
    self.at = at
    self.group = group
    self.kind = kind
    self.from = from
    self.to = to
    self.label = label
    self.reason = reason
    self.evidence = evidence
  }
}

extension AuditRecord {
  /// What the first record of a chain has before it.
  static let genesis = [UInt8](repeating: 0, count: 32)

  /// SHA-256 over the hash before, the number within the chain, and every field with its length, so that no two records read the same.
  func hash(after previous: [UInt8], number: Int64, evidence text: String) -> [UInt8] {
    var hasher = SHA256()
    hasher.update(data: previous)
    for field in ["\(number)", "\(id)", "\(at)", group, kind, from, to, label, reason, text] {
      hasher.update(data: Array("\(field.map { $0.utf8.count } ?? -1):".utf8))
      hasher.update(data: Array((field ?? "").utf8))
    }
    return Array(hasher.finalize())
  }
}

/// Which records are asked for.
package struct AuditQuery: Hashable, Sendable {
  package var group: String?
  /// Empty: of any kind.
  package var kinds: Set<String>
  /// Milliseconds since 1970.
  package var since: Int64?
  /// Only older ones than this id: for the next page.
  package var before: Int64?
  /// Only newer ones than this id: for who has seen the others.
  package var after: Int64?
  package var oldestFirst: Bool
  package var limit: Int

  package init(
    group: String? = nil, kinds: Set<String> = [], since: Int64? = nil, before: Int64? = nil, after: Int64? = nil,
    oldestFirst: Bool = false, limit: Int = 100
  ) {
    self.group = group
    self.kinds = kinds
    self.since = since
    self.before = before
    self.after = after
    self.oldestFirst = oldestFirst
    self.limit = limit
  }

  func matches(_ record: AuditRecord) -> Bool {
    (group == nil || record.group == group) && (kinds.isEmpty || kinds.contains(record.kind)) && record.at >= since ?? .min
      && record.id < before ?? .max && record.id > after ?? .min
  }
}

/// What became of the chains on the disk.
package enum AuditVerdict: Hashable, Sendable {
  /// Every record follows from the one before it.
  case whole(records: Int)
  /// From this record on they do not: one was changed, or is missing.
  case broken(at: Int64, problem: String)
  case unavailable(reason: String)
}
