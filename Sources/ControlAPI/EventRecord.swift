package import Failover
import LebaConfiguration
package import Model

/// One line of the audit history as people and scripts read it. Kinds and reasons are text: a record of an older leba must be readable.
package struct EventRecord: Hashable, Sendable {
  /// Grows by one with each record, over restarts too where there is a journal.
  package var sequence: UInt64
  package var at: WallTime
  package var group: String
  package var kind: String
  package var from: String?
  package var to: String?
  package var reason: String
  /// The short, stable form of `reason`.
  package var reasonLabel: String
  package var evidence: [String]
  /// Of this record and the hash of the one before it, in hexadecimal; nil where there is no journal.
  package var hash: String?

  package init(
    sequence: UInt64, at: WallTime, group: String, kind: String, from: String?, to: String?, reason: String, reasonLabel: String,
    evidence: [String], hash: String?
  ) {
    self.sequence = sequence
    self.at = at
    self.group = group
    self.kind = kind
    self.from = from
    self.to = to
    self.reason = reason
    self.reasonLabel = reasonLabel
    self.evidence = evidence
    self.hash = hash
  }

  /// - Parameters:
  ///   - sequence: the journal's number; nil: the engine's own, which begins anew with each run.
  package init(_ decision: Decision, at: WallTime, sequence: UInt64? = nil, hash: String? = nil) {
    self.init(
      sequence: sequence ?? decision.sequence, at: at, group: decision.group.rawValue, kind: decision.kind.rawValue,
      from: decision.from?.rawValue, to: decision.to?.rawValue, reason: decision.reason.description,
      reasonLabel: decision.reason.label, evidence: decision.evidence, hash: hash)
  }
}

extension EventRecord: Encodable {
  enum CodingKeys: String, CodingKey {
    case sequence, at, group, kind, from, to, reason, reasonLabel, evidence, hash
  }

  package func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(sequence, forKey: .sequence)
    try values.encode(at.text, forKey: .at)
    try values.encode(group, forKey: .group)
    try values.encode(kind, forKey: .kind)
    try values.encode(from, forKey: .from)
    try values.encode(to, forKey: .to)
    try values.encode(reason, forKey: .reason)
    try values.encode(reasonLabel, forKey: .reasonLabel)
    try values.encode(evidence, forKey: .evidence)
    try values.encode(hash, forKey: .hash)
  }
}

/// Which records are wanted. All conditions hold together.
package struct EventQuery: Hashable, Sendable {
  package enum Order: Hashable, Sendable {
    case newestFirst, oldestFirst
  }

  package static let maximumLimit = 1000

  package var group: GroupName?
  /// Empty: of any kind.
  package var kinds: Set<Decision.Kind>
  /// Not older than this.
  package var since: WallTime?
  /// With a lower sequence than this: the next page of a list that is newest first.
  package var before: UInt64?
  /// With a higher sequence than this.
  package var after: UInt64?
  package var order: Order
  /// From 1 to `maximumLimit`.
  package var limit: Int

  package init(
    group: GroupName? = nil, kinds: Set<Decision.Kind> = [], since: WallTime? = nil, before: UInt64? = nil, after: UInt64? = nil,
    order: Order = .newestFirst, limit: Int = 100
  ) {
    self.group = group
    self.kinds = kinds
    self.since = since
    self.before = before
    self.after = after
    self.order = order
    self.limit = limit
  }

  package func matches(_ record: EventRecord) -> Bool {
    if let group, group.rawValue != record.group { return false }
    if !kinds.isEmpty, !kinds.contains(where: { $0.rawValue == record.kind }) { return false }
    if let since, record.at < since { return false }
    if let before, record.sequence >= before { return false }
    if let after, record.sequence <= after { return false }
    return true
  }
}

package struct EventPage: Sendable {
  /// In the order of the query, at most its limit.
  package var records: [EventRecord]
  /// Whether others match that the limit left out.
  package var hasMore: Bool
  /// The highest sequence of all, whatever the query; 0 where there is none.
  package var lastSequence: UInt64

  package init(records: [EventRecord], hasMore: Bool, lastSequence: UInt64) {
    self.records = records
    self.hasMore = hasMore
    self.lastSequence = lastSequence
  }
}
