import Foundation
import Model
import TestSupport

/// What these tests need of a server beyond what all tests need: users of every kind, and its process.
extension PostgresServer {
  /// Users for every way of authentication, the superuser's access unchanged.
  func prepareAccess() async throws {
    try await query(
      """
      CREATE ROLE limited LOGIN CONNECTION LIMIT 0; CREATE ROLE nobody_lets_in LOGIN;
      SET password_encryption = 'scram-sha-256';
      CREATE ROLE scram_user LOGIN PASSWORD 'scram secret ü'; CREATE ROLE clear_user LOGIN PASSWORD 'clear secret';
      """)
    let rules = [
      "host all,replication postgres all trust", "host all nobody_lets_in all reject", "host all app_md5 all md5",
      "host all clear_user all password", "host all scram_user,absent_with_password all scram-sha-256", "host all all all trust",
      "local all clear_user password", "local all scram_user scram-sha-256", "local all all trust",
    ]
    let file = try await query("SHOW hba_file")
    try await query("COPY (SELECT unnest(ARRAY['\(rules.joined(separator: "','"))'])) TO '\(file)'")
    try await query("SELECT pg_reload_conf()")
    try await eventually("the server has read its access rules") {
      try await query("SELECT count(*) FROM pg_hba_file_rules") == "\(rules.count)"
    }
  }

  var address: Model.SocketAddress {
    get throws {
      guard let address = Model.SocketAddress("\(host):\(port)") else { throw TestFailure("no address: \(host):\(port)") }
      return address
    }
  }

  var socket: Model.SocketAddress {
    get async throws { .unix(path: try await query("SHOW unix_socket_directories") + "/.s.PGSQL.\(port)") }
  }

  /// The process that starts all others; a test of the server's own may signal it.
  var postmaster: pid_t {
    get async throws {
      let file = try await query("SELECT pg_read_file('postmaster.pid')")
      guard let pid = file.split(separator: "\n").first.flatMap({ pid_t($0) }) else { throw TestFailure("no postmaster: \(file)") }
      return pid
    }
  }

  /// The log without the lines that `log_connections` asks for, and without those about reading the access rules.
  var complaints: [Substring] {
    log.split(separator: "\n").filter { line in
      !["connection received", "connection authenticated", "connection authorized", "received SIGHUP"].contains {
        line.contains($0)
      }
    }
  }

  /// The processes of sessions that call themselves leba.
  func probeSessions() async throws -> [pid_t] {
    try await query("SELECT pid FROM pg_stat_activity WHERE application_name = 'leba'").split(separator: "\n").compactMap {
      pid_t($0)
    }
  }
}
