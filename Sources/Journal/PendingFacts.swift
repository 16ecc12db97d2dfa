import Model

/// What callers told and the disk does not have yet. Merged as it comes: the memory goes by the number of names, not of notes.
/// Pure.
struct PendingFacts: Sendable {
  enum Change: Sendable {
    case answered([DiscoveredEndpoint], TextAttributes?, at: Double)
    case forgotten
  }

  /// What one transaction writes.
  struct Batch: Sendable {
    var changes: [DomainName: Change] = [:]
    /// When a name server last vouched for answers that are on the disk as they are.
    var refreshes: [DomainName: Double] = [:]
    var stored: [FactKey: String] = [:]
    var removed: Set<FactKey> = []
    /// In the order of their ids.
    var records: [AuditRecord] = []

    /// What is not learned again by itself, and must not go with the power.
    var isPrecious: Bool { !stored.isEmpty || !removed.isEmpty || records.contains { $0.chain == .decisions } }
    var isEmpty: Bool { changes.isEmpty && refreshes.isEmpty && stored.isEmpty && removed.isEmpty && records.isEmpty }
  }

  enum Urgency: Sendable {
    /// Somebody waits for it.
    case atOnce
    case soon
    /// Losing it makes an answer look older than it is, no more.
    case lazily
  }

  /// What the disk has of a name once the changes are written: enough to tell a changed answer from an unchanged one.
  private struct Known: Sendable {
    /// Nil: no answer.
    var fingerprint: Int?
    var isVouchedForAnew = false
    var answeredAt: Double
  }

  private let limits: Journal.Limits
  private var changes: [DomainName: Change] = [:]
  private var known: [DomainName: Known] = [:]
  /// All of them, written or not: a file that must be started anew gets them again.
  private(set) var kept: [FactKey: String] = [:]
  private var unwritten: Set<FactKey> = []
  private(set) var audit: PendingAudit
  /// Facts that there was no room for, since the last time this was asked.
  private var refused = 0

  init(limits: Journal.Limits) {
    self.limits = limits
    audit = PendingAudit(capacity: limits.pendingRecords)
  }

  // MARK: Facts come in

  /// - Returns: when it is to be written; nil where that is arranged already, or there is nothing to write.
  mutating func note(
    _ domain: DomainName, endpoints: [DiscoveredEndpoint], attributes: TextAttributes?, at now: Double
  ) -> Urgency? {
    let fingerprint = Self.fingerprint(endpoints, attributes)
    let isUnchanged = known[domain]?.fingerprint == fingerprint
    if isUnchanged, changes[domain] == nil {
      known[domain]?.answeredAt = now
      known[domain]?.isVouchedForAnew = true
      return .lazily
    }
    return change(domain, .answered(endpoints, attributes, at: now), Known(fingerprint: fingerprint, answeredAt: now))
  }

  mutating func forget(_ domain: DomainName, at now: Double) -> Urgency? {
    // An empty name is asked again every few seconds, and each time there is nothing new.
    if let known = known[domain], known.fingerprint == nil { return nil }
    return change(domain, .forgotten, Known(fingerprint: nil, answeredAt: now))
  }

  private mutating func change(_ domain: DomainName, _ change: Change, _ fact: Known) -> Urgency? {
    guard changes[domain] != nil || changes.count < limits.rows else {
      refused += 1
      return nil
    }
    // Names that are not watched any more pile up over months. To start over costs each of the others one more write.
    if known.count >= limits.rows, known[domain] == nil { known.removeAll() }
    changes[domain] = change
    known[domain] = fact
    return .soon
  }

  /// - Returns: nil where there is no room.
  mutating func store(_ key: FactKey, json: String) -> Urgency? {
    if kept[key] == json { return unwritten.contains(key) ? .atOnce : .soon }
    guard json.utf8.count <= limits.factBytes, kept[key] != nil || kept.count < limits.facts else {
      refused += 1
      return nil
    }
    kept[key] = json
    unwritten.insert(key)
    return .atOnce
  }

  mutating func remove(_ key: FactKey) -> Urgency {
    kept[key] = nil
    // What the journal never heard of may be in a file that could not be read yet.
    if unwritten.count < limits.facts * 2 { unwritten.insert(key) }
    return .atOnce
  }

  mutating func append(_ record: AuditRecord) -> AuditRecord {
    let (numbered, isTooMany) = audit.append(record)
    if isTooMany { refused += 1 }
    return numbered
  }

  // MARK: Facts go out

  mutating func take(refreshes: Bool) -> Batch {
    var batch = Batch()
    swap(&batch.changes, &changes)
    for key in unwritten {
      if let json = kept[key] { batch.stored[key] = json } else { batch.removed.insert(key) }
    }
    unwritten = []
    batch.records = audit.take()
    guard refreshes else { return batch }
    for (domain, fact) in known where fact.isVouchedForAnew && batch.changes[domain] == nil {
      batch.refreshes[domain] = fact.answeredAt
      known[domain]?.isVouchedForAnew = false
    }
    return batch
  }

  /// The batch could not be written. What came meanwhile is newer.
  mutating func putBack(_ batch: Batch) {
    changes.merge(batch.changes) { newer, _ in newer }
    for domain in batch.refreshes.keys where known[domain]?.fingerprint != nil { known[domain]?.isVouchedForAnew = true }
    unwritten.formUnion(batch.stored.keys)
    unwritten.formUnion(batch.removed)
    refused += audit.putBack(batch.records)
  }

  /// What was taken last is on the disk.
  mutating func arrived() { audit.arrived() }

  var hasRefused: Bool { refused > 0 }

  mutating func takeRefused() -> Int? {
    defer { refused = 0 }
    return refused > 0 ? refused : nil
  }

  // MARK: The file

  /// What a file that was opened holds. It knows nothing newer than we do.
  mutating func opened(facts stored: [FactKey: String], lastRecord: Int64, isNew: Bool) {
    if isNew {
      known.removeAll()
      unwritten.formUnion(kept.keys)
    }
    for (key, json) in stored where !unwritten.contains(key) { kept[key] = json }
    audit.continueAfter(lastRecord)
  }

  /// 64 bits in place of a second copy of the answer. Two answers of a name that share them are one in 2^64.
  private static func fingerprint(_ endpoints: [DiscoveredEndpoint], _ attributes: TextAttributes?) -> Int {
    var hasher = Hasher()
    hasher.combine(endpoints)
    hasher.combine(attributes)
    return hasher.finalize()
  }
}
