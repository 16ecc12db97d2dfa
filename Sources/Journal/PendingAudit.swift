/// Audit records that the disk does not have yet, and the numbers of those to come. Pure.
struct PendingAudit: Sendable {
  private let capacity: Int
  private(set) var records: [AuditRecord] = []
  /// On their way to the disk.
  private(set) var leaving: [AuditRecord] = []
  private(set) var lastID: Int64 = 0

  init(capacity: Int) { self.capacity = capacity }

  /// - Returns: the record with its number, and whether it is one too many: then the oldest of the routine, or else the oldest, was
  ///   given up.
  mutating func append(_ record: AuditRecord) -> (record: AuditRecord, isTooMany: Bool) {
    lastID += 1
    var record = record
    record.id = lastID
    records.append(record)
    guard records.count > capacity else { return (record, false) }
    records.remove(at: records.firstIndex { $0.chain == .routine } ?? 0)
    return (record, true)
  }

  mutating func take() -> [AuditRecord] {
    leaving = records
    records = []
    return leaving
  }

  mutating func arrived() { leaving = [] }

  /// - Returns: how many there was no room for.
  mutating func putBack(_ old: [AuditRecord]) -> Int {
    leaving = []
    records = old + records
    let excess = max(0, records.count - capacity)
    // The oldest, and of these the routine first.
    var given = 0
    records.removeAll { record in
      guard given < excess, record.chain == .routine else { return false }
      given += 1
      return true
    }
    records.removeFirst(excess - given)
    return excess
  }

  /// The disk has records up to this one, of earlier runs: those that wait are numbered after them.
  mutating func continueAfter(_ stored: Int64) {
    guard let first = records.first?.id ?? (lastID < stored ? stored + 1 : nil) else { return }
    let shift = stored + 1 - first
    if records.isEmpty {
      lastID = max(lastID, stored)
    } else if shift > 0 {
      for position in records.indices { records[position].id += shift }
      lastID += shift
    }
  }

  /// In the order of the query.
  func matching(_ query: AuditQuery) -> [AuditRecord] {
    let matching = (leaving + records).filter(query.matches)
    return query.oldestFirst ? matching : matching.reversed()
  }
}
