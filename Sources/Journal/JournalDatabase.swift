import GRDB
import Model

/// The open database, and the lock on its directory. Used by one thread at a time; SQLite itself is told nothing of threads.
final class JournalDatabase: Sendable {
  /// The file was made, or started anew.
  let isNew: Bool
  let path: String
  private let lock: DirectoryLock
  private let queue: DatabaseQueue

  /// Another program may look into the file and lock it for the moment of a read; longer is a failure.
  private static let patience = 1.0

  init(lock: DirectoryLock, path: String, maximumPages: Int?) throws(FileProblem) {
    self.path = path
    self.lock = lock
    do {
      var configuration = Configuration()
      configuration.label = "leba.journal"
      configuration.busyMode = .timeout(Self.patience)
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      self.queue = queue
      do {
        isNew = try queue.writeWithoutTransaction { database in try Self.setUp(database, maximumPages: maximumPages) }
      } catch {
        // At once, before anybody renames the files: SQLite removes a write-ahead log by its name when it closes.
        try? queue.close()
        throw error
      }
    } catch let problem as FileProblem {
      throw problem
    } catch {
      throw .failed(JournalFailure(error, path: path))
    }
  }

  /// Whether the file was empty.
  private static func setUp(_ database: Database, maximumPages: Int?) throws -> Bool {
    // No function of ours is there for a schema that somebody planted; and the file is never mapped, for reading a page that has
    // gone from under a mapping is a signal and not an error.
    try database.execute(
      sql: "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -512")
    let identity = try number(database, "PRAGMA application_id")
    let version = try number(database, "PRAGMA user_version")
    let isBlank = try identity == 0 && version == 0 && Schema.objects(database).isEmpty
    if !isBlank {
      guard identity == Schema.applicationID else { throw FileProblem.damaged("it is not a journal of leba") }
      guard version >= 0 else { throw FileProblem.damaged("its version is \(version)") }
      guard version <= Schema.migrations.count else { throw FileProblem.newer(version) }
      let verdict = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer"
      guard verdict == "ok" else { throw FileProblem.damaged(verdict) }
    }
    // A file system without shared memory stays with a rollback journal: slower, and as safe.
    _ = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
    try database.execute(sql: "PRAGMA journal_size_limit = 4194304")
    if let maximumPages { try database.execute(sql: "PRAGMA max_page_count = \(maximumPages)") }
    try Schema.migrate(database, from: version)
    guard try Schema.objects(database) == Schema.expectedObjects() else { throw FileProblem.damaged("its tables are not ours") }
    return isBlank
  }

  private static func number(_ database: Database, _ sql: String) throws -> Int {
    try DatabaseValue.fetchOne(database, sql: sql).flatMap { Int.fromDatabaseValue($0) } ?? 0
  }

  func close() {
    // Were it to fail, the write-ahead log would stay and be read at the next start.
    try? queue.close()
  }

  // MARK: Reading

  /// Every row that parses, and how many do not.
  func answers(now: Double) throws(JournalFailure) -> (answers: [DomainName: RememberedAnswer], skipped: Int) {
    try access { database in
      let coder = AnswerCoder()
      var answers: [DomainName: RememberedAnswer] = [:]
      var skipped = 0
      let rows = try Row.fetchCursor(database, sql: "SELECT domain, endpoints, attributes, answered_at FROM dns_answers")
      while let row = try rows.next() {
        // By way of the raw value: a row's subscript traps where the type is another than expected.
        guard let domain = String.fromDatabaseValue(row[0]), let endpoints = String.fromDatabaseValue(row[1]),
          let answeredAt = Double.fromDatabaseValue(row[3]),
          let answer = coder.answer(
            endpoints: endpoints, attributes: String.fromDatabaseValue(row[2]), answeredAt: answeredAt, now: now)
        else {
          skipped += 1
          continue
        }
        answers[DomainName(domain)] = answer
      }
      return (answers, skipped)
    }
  }

  func facts() throws(JournalFailure) -> [FactKey: String] {
    try access { database in
      var facts: [FactKey: String] = [:]
      let rows = try Row.fetchCursor(database, sql: "SELECT kind, name, value FROM facts")
      while let row = try rows.next() {
        guard let kind = String.fromDatabaseValue(row[0]).flatMap(FactKind.init(rawValue:)),
          let name = String.fromDatabaseValue(row[1]), let json = String.fromDatabaseValue(row[2])
        else { continue }
        facts[FactKey(kind, name)] = json
      }
      return facts
    }
  }

  // MARK: Writing

  /// All of it or nothing.
  func write(_ batch: PendingFacts.Batch) throws(JournalFailure) {
    if batch.isEmpty { return }
    try access { database in
      // An answer lost with the power is asked for again. What somebody made through the API is not made again by itself.
      try database.execute(sql: "PRAGMA synchronous = \(batch.isPrecious ? "FULL" : "NORMAL")")
      try database.inTransaction(.immediate) {
        try Self.write(batch.changes, to: database)
        try Self.write(batch.refreshes, to: database)
        try Self.writeFacts(of: batch, to: database)
        try Self.append(batch.records, to: database)
        return .commit
      }
    }
  }

  private static func write(_ changes: [DomainName: PendingFacts.Change], to database: Database) throws {
    if changes.isEmpty { return }
    let coder = AnswerCoder()
    let insert = try database.cachedStatement(
      sql: "INSERT OR REPLACE INTO dns_answers (domain, endpoints, attributes, answered_at) VALUES (?, ?, ?, ?)")
    let delete = try database.cachedStatement(sql: "DELETE FROM dns_answers WHERE domain = ?")
    for (domain, change) in changes {
      switch change {
      case .answered(let endpoints, let attributes, let answeredAt):
        try insert.execute(arguments: [
          domain.rawValue, coder.text(endpoints), attributes.map { try coder.text($0) }, answeredAt,
        ])
      case .forgotten: try delete.execute(arguments: [domain.rawValue])
      }
    }
  }

  private static func write(_ refreshes: [DomainName: Double], to database: Database) throws {
    let update = try database.cachedStatement(sql: "UPDATE dns_answers SET answered_at = ? WHERE domain = ?")
    for (domain, answeredAt) in refreshes { try update.execute(arguments: [answeredAt, domain.rawValue]) }
  }

  private static func writeFacts(of batch: PendingFacts.Batch, to database: Database) throws {
    let insert = try database.cachedStatement(sql: "INSERT OR REPLACE INTO facts (kind, name, value) VALUES (?, ?, ?)")
    for (key, json) in batch.stored { try insert.execute(arguments: [key.kind.rawValue, key.name, json]) }
    let delete = try database.cachedStatement(sql: "DELETE FROM facts WHERE kind = ? AND name = ?")
    for key in batch.removed { try delete.execute(arguments: [key.kind.rawValue, key.name]) }
  }

  /// Removes answers nobody vouched for in a long time, old records, and beyond a number of each the oldest ones.
  func trim(_ limits: Journal.Limits, now: Double) throws(JournalFailure) {
    let limit = limits.rows
    try access { database in
      try database.inTransaction(.immediate) {
        try Self.trimAudit(database, rows: limits.records, oldest: now - limits.recordAge)
        try database.execute(sql: "DELETE FROM dns_answers WHERE answered_at < ?", arguments: [now - limits.age])
        let count = try Self.number(database, "SELECT count(*) FROM dns_answers")
        if count > limit {
          try database.execute(
            sql: "DELETE FROM dns_answers WHERE domain IN (SELECT domain FROM dns_answers ORDER BY answered_at LIMIT ?)",
            arguments: [count - limit])
        }
        return .commit
      }
    }
  }

  func access<T>(_ body: (Database) throws -> T) throws(JournalFailure) -> T {
    do {
      return try queue.writeWithoutTransaction(body)
    } catch {
      throw JournalFailure(error, path: path)
    }
  }
}

/// Why a database could not be opened as it is.
enum FileProblem: Error {
  /// To be set aside.
  case damaged(String)
  /// Made by a later leba, which counted so many migrations. To be set aside.
  case newer(Int)
  case failed(JournalFailure)
}
