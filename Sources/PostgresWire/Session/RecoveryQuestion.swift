/// How a server is asked what it is: as one query with one row, for a user without any rights of its own.
///
/// `pg_is_in_recovery()` turns false at the end of a promotion and not before, which is the moment writes work.
/// Not `transaction_read_only`, though libpq asks for it: that is the default of *this* user's sessions, and a careful
/// administrator sets it to on for a monitoring user, on a primary as well.
enum RecoveryQuestion: Hashable, Sendable {
  /// The role alone: every server has had this function since there are standbys.
  case role
  case whole(LogNames)

  /// Version 10 renamed the write-ahead log from xlog to wal.
  enum LogNames: Hashable, Sendable {
    case xlog, wal
  }

  /// By what the server says at startup: `15.8 (Debian 15.8-0+deb12u1)`, `9.6.24`, `17beta1`. 9.6 is the first with
  /// `pg_control_checkpoint()` and `pg_stat_wal_receiver`.
  init(serverVersion: String) {
    let numbers = serverVersion.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }.split(separator: ".").map { Int($0) ?? 0 }
    let minor = numbers.count > 1 ? numbers[1] : 0
    switch numbers.first {
    case let major? where major >= 10: self = .whole(.wal)
    case 9 where minor >= 6: self = .whole(.xlog)
    default: self = .role
    }
  }

  var sql: String {
    switch self {
    case .role: "SELECT pg_catalog.pg_is_in_recovery()"
    case .whole(.xlog): Self.xlog
    case .whole(.wal): Self.wal
    }
  }

  private static let xlog = whole(
    receive: "pg_last_xlog_receive_location", replay: "pg_last_xlog_replay_location", difference: "pg_xlog_location_diff",
    file: "pg_xlogfile_name", current: "pg_current_xlog_location")
  private static let wal = whole(
    receive: "pg_last_wal_receive_lsn", replay: "pg_last_wal_replay_lsn", difference: "pg_wal_lsn_diff",
    file: "pg_walfile_name", current: "pg_current_wal_lsn")

  /// The role; the timeline in hexadecimal; the lag in microseconds; the lag in bytes.
  ///
  /// The timeline of a primary is that of the file it writes to: its control file may name the one before until the first checkpoint.
  /// That of a standby is the newest it has heard of: what the WAL receiver says is null to users outside `pg_read_all_stats`, what
  /// its control file says is as old as its last restart point. Where nothing was streamed, as in a standby fed from an archive, what has been
  /// received is not known, and the lag is the age of the last transaction. A standby that has replayed none since its start does not
  /// know any.
  ///
  /// The role is read once, before the rest, in a subquery that is not flattened: a promotion in between gives a replica's
  /// answer, never half of each.
  private static func whole(receive: String, replay: String, difference: String, file: String, current: String) -> String {
    """
    SELECT r, \
    CASE WHEN r THEN pg_catalog.to_hex(GREATEST((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver LIMIT 1), \
    (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))) \
    ELSE pg_catalog.left(pg_catalog.\(file)(pg_catalog.\(current)()), 8) END, \
    CASE WHEN NOT r THEN NULL WHEN played >= got THEN 0 ELSE (1000000 * EXTRACT(EPOCH FROM \
    pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()))::pg_catalog.int8 END, \
    CASE WHEN r THEN GREATEST(0, pg_catalog.\(difference)(got, played))::pg_catalog.int8 END \
    FROM (SELECT pg_catalog.pg_is_in_recovery() AS r, pg_catalog.\(receive)() AS got, pg_catalog.\(replay)() AS played \
    OFFSET 0) AS s
    """
  }

  /// Nil for a row that does not answer the question. Of the numbers, one that is none is only unknown.
  func status(of row: [[UInt8]?]) -> RecoveryStatus? {
    let isInRecovery: Bool
    switch row.first ?? nil {
    case Array("t".utf8): isInRecovery = true
    case Array("f".utf8): isInRecovery = false
    default: return nil
    }
    switch self {
    case .role:
      return row.count == 1 ? RecoveryStatus(isInRecovery: isInRecovery) : nil
    case .whole:
      guard row.count == 4 else { return nil }
      return RecoveryStatus(
        isInRecovery: isInRecovery, timeline: Self.number(row[1], radix: 16),
        lagTime: Self.number(row[2]).map { (count: Int64) in .microseconds(max(0, count)) },
        lagBytes: Self.number(row[3]))
    }
  }

  private static func number<Number: FixedWidthInteger>(_ text: [UInt8]?, radix: Int = 10) -> Number? {
    text.flatMap { Number(String(decoding: $0, as: UTF8.self), radix: radix) }
  }
}

extension SQLState {
  /// A missing function or column, or one that is not ours to use (class 42), or not supported (0A).
  var isLasting: Bool { code.hasPrefix("42") || code.hasPrefix("0A") }
}
