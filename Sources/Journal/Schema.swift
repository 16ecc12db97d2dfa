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
    """,
    // 2: facts of all kinds in one table, and the audit history. A record's hash covers the one before it in its chain; `audit_ends`
    // has the newest of each. `at` is in milliseconds since 1970; `member_group`, `old` and `new` are `group`, `from` and `to`.
    """
    CREATE TABLE facts (
      kind TEXT NOT NULL,
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO facts SELECT 'dns_backend', domain, declaration FROM dns_backends;
    DROP TABLE dns_backends;
    CREATE TABLE audit (
      id INTEGER NOT NULL PRIMARY KEY,
      chain INTEGER NOT NULL,
      number INTEGER NOT NULL,
      at INTEGER NOT NULL,
      member_group TEXT NOT NULL,
      kind TEXT NOT NULL,
      old TEXT,
      new TEXT,
      label TEXT NOT NULL,
      reason TEXT NOT NULL,
      evidence TEXT NOT NULL,
      hash BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX audit_by_chain ON audit (chain, number);
    CREATE INDEX audit_by_group ON audit (member_group, id);
    CREATE TABLE audit_ends (
      chain INTEGER NOT NULL PRIMARY KEY,
      number INTEGER NOT NULL,
      id INTEGER NOT NULL,
      hash BLOB NOT NULL
    ) STRICT;
    """,
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
