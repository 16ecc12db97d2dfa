import Foundation
import GRDB

/// The audit history: two chains of records, appended at one end, trimmed at the other, and never changed.
extension JournalDatabase {
  /// The end of a chain, as the next record needs it.
  private struct End {
    var number: Int64 = 0
    var hash = AuditRecord.genesis
  }

  func lastAuditID() throws(JournalFailure) -> Int64 {
    try access { database in
      try Int64.fetchOne(
        database, sql: "SELECT max(coalesce((SELECT max(id) FROM audit), 0), coalesce((SELECT max(id) FROM audit_ends), 0))")
        ?? 0
    }
  }

  /// Within a transaction. Records are in the order of their ids.
  static func append(_ records: [AuditRecord], to database: Database) throws {
    if records.isEmpty { return }
    let encoder = JSONEncoder()
    let insert = try database.cachedStatement(
      sql: """
        INSERT INTO audit (id, chain, number, at, member_group, kind, old, new, label, reason, evidence, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """)
    var ends: [AuditRecord.Chain: End] = [:]
    for record in records {
      var end = try ends[record.chain] ?? end(of: record.chain, database)
      end.number += 1
      let evidence = String(decoding: try encoder.encode(record.evidence), as: UTF8.self)
      end.hash = record.hash(after: end.hash, number: end.number, evidence: evidence)
      try insert.execute(arguments: [
        record.id, record.chain.rawValue, end.number, record.at, record.group, record.kind, record.from, record.to, record.label,
        record.reason, evidence, Data(end.hash),
      ])
      ends[record.chain] = end
    }
    // Apart from the rows: the newest record cannot go unnoticed either.
    let keep = try database.cachedStatement(sql: "INSERT OR REPLACE INTO audit_ends (chain, number, id, hash) VALUES (?, ?, ?, ?)")
    for (chain, end) in ends {
      let id = records.last { $0.chain == chain }?.id ?? 0
      try keep.execute(arguments: [chain.rawValue, end.number, id, Data(end.hash)])
    }
  }

  private static func end(of chain: AuditRecord.Chain, _ database: Database) throws -> End {
    let row = try Row.fetchOne(database, sql: "SELECT number, hash FROM audit_ends WHERE chain = ?", arguments: [chain.rawValue])
    guard let row, let number = Int64.fromDatabaseValue(row[0]), let hash = Data.fromDatabaseValue(row[1]), hash.count == 32 else {
      return End()
    }
    return End(number: number, hash: Array(hash))
  }

  /// In the order of the query, at most its limit.
  func records(_ query: AuditQuery) throws(JournalFailure) -> [AuditRecord] {
    try access { database in
      var conditions: [String] = []
      var arguments: [any DatabaseValueConvertible] = []
      func require(_ condition: String, _ value: (any DatabaseValueConvertible)?) {
        guard let value else { return }
        conditions.append(condition)
        arguments.append(value)
      }
      require("member_group = ?", query.group)
      if !query.kinds.isEmpty {
        conditions.append("kind IN (\(query.kinds.map { _ in "?" }.joined(separator: ", ")))")
        arguments += query.kinds.sorted()
      }
      require("at >= ?", query.since)
      require("id < ?", query.before)
      require("id > ?", query.after)
      let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
      let order = query.oldestFirst ? "ASC" : "DESC"
      let rows = try Row.fetchCursor(
        database,
        sql: "SELECT id, chain, at, member_group, kind, old, new, label, reason, evidence, hash FROM audit\(filter) "
          + "ORDER BY id \(order) LIMIT \(max(0, query.limit))", arguments: StatementArguments(arguments))
      var records: [AuditRecord] = []
      while let row = try rows.next() {
        if let record = Self.record(row) { records.append(record) }
      }
      return records
    }
  }

  private static func record(_ row: Row) -> AuditRecord? {
    guard let id = Int64.fromDatabaseValue(row[0]),
      let chain = Int.fromDatabaseValue(row[1]).flatMap(AuditRecord.Chain.init(rawValue:)),
      let at = Int64.fromDatabaseValue(row[2]),
      let group = String.fromDatabaseValue(row[3]), let kind = String.fromDatabaseValue(row[4]),
      let label = String.fromDatabaseValue(row[7]), let reason = String.fromDatabaseValue(row[8]),
      let evidence = String.fromDatabaseValue(row[9]), let hash = Data.fromDatabaseValue(row[10])
    else { return nil }
    let lines = (try? JSONDecoder().decode([String].self, from: Data(evidence.utf8))) ?? []
    var record = AuditRecord(
      chain: chain, at: at, group: group, kind: kind, from: String.fromDatabaseValue(row[5]), to: String.fromDatabaseValue(row[6]),
      label: label, reason: reason, evidence: lines)
    record.id = id
    record.hash = hash.map { String(format: "%02x", $0) }.joined()
    return record
  }

  /// Walks both chains from their oldest record to the newest.
  func verifyAudit() throws(JournalFailure) -> AuditVerdict {
    try access { database in
      var count = 0
      for chain in AuditRecord.Chain.allCases {
        var previous: End?
        let rows = try Row.fetchCursor(
          database,
          sql: """
            SELECT id, chain, at, member_group, kind, old, new, label, reason, evidence, hash, number FROM audit
            WHERE chain = ? ORDER BY number
            """, arguments: [chain.rawValue])
        while let row = try rows.next() {
          guard let record = Self.record(row), let number = Int64.fromDatabaseValue(row[11]),
            let evidence = String.fromDatabaseValue(row[9]), let hash = Data.fromDatabaseValue(row[10])
          else { return .broken(at: Int64.fromDatabaseValue(row[0]) ?? 0, problem: "the record is not readable") }
          // The oldest that is left: what was before it was given up by age or number, and its hash with it.
          if previous == nil, number == 1 { previous = End() }
          if let previous {
            if number != previous.number + 1 {
              return .broken(at: record.id, problem: "\(number - previous.number - 1) records before it are missing")
            }
            if record.hash(after: previous.hash, number: number, evidence: evidence) != Array(hash) {
              return .broken(at: record.id, problem: "the record, or one before it, was changed")
            }
          }
          previous = End(number: number, hash: Array(hash))
          count += 1
        }
        let end = try Self.end(of: chain, database)
        if let previous, previous.number != end.number || previous.hash != end.hash {
          return .broken(
            at: try Int64.fetchOne(database, sql: "SELECT max(id) FROM audit") ?? 0, problem: "the newest records are missing")
        }
        if previous == nil, end.number > 0, chain == .decisions || count > 0 {
          return .broken(at: 0, problem: "all records of a chain are missing")
        }
      }
      return .whole(records: count)
    }
  }

  /// Gives up the oldest records of each chain.
  static func trimAudit(_ database: Database, rows: [AuditRecord.Chain: Int], oldest: Double) throws {
    for chain in AuditRecord.Chain.allCases {
      // The newest one always stays: the chain goes on from it.
      let newest =
        try Int64.fetchOne(database, sql: "SELECT max(number) FROM audit WHERE chain = ?", arguments: [chain.rawValue]) ?? 0
      let first = newest - Int64(rows[chain] ?? 0) + 1
      try database.execute(
        sql: """
          DELETE FROM audit WHERE chain = ?1 AND number < ?2
          AND (number < ?3 OR number < coalesce((SELECT number FROM audit WHERE chain = ?1 AND at >= ?4 ORDER BY number LIMIT 1), ?2))
          """, arguments: [chain.rawValue, newest, first, Int64(oldest * 1000)])
    }
  }
}
