import GRDB

/// The tables, and how a file of an older leba gets them. `user_version` counts the migrations a file has had.
enum Schema {
  /// "leba". A file with another one is not ours.
  static let applicationID = 0x6c65_6261

  /// Append only: what shipped is never edited. Each runs in one transaction.
  static let migrations = [
    // 1: the last good answers, and the DNS backends made through the API. `answered_at` is in seconds since 1970.
    """
    CREATE TABLE dns_answers (
      domain TEXT NOT NULL PRIMARY KEY,
      endpoints TEXT NOT NULL,
      attributes TEXT,
      answered_at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dns_backends (
      domain TEXT NOT NULL PRIMARY KEY,
      declaration TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """
  ]

  /// Brings a file from `version` up to date.
  static func migrate(_ database: Database, from version: Int) throws {
    for (index, migration) in migrations.enumerated().dropFirst(version) {
      try database.inTransaction(.immediate) {
        try database.execute(sql: migration)
        try database.execute(sql: "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(index + 1)")
        return .commit
      }
    }
  }

  /// Every object of a file. Two files of one version have the same, letter by letter.
  static func objects(_ database: Database) throws -> Set<DatabaseValue> {
    try DatabaseValue.fetchSet(
      database,
      sql:
        "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    )
  }

  /// The objects that `migrations` make.
  static func expectedObjects() throws -> Set<DatabaseValue> {
    let blank = try DatabaseQueue()
    return try blank.inDatabase { database in
      try migrate(database, from: 0)
      return try objects(database)
    }
  }
}
