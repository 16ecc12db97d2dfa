import Foundation
import TestSupport

/// A real PostgreSQL server in a temporary directory, with users of every kind of authentication. Ends with its last reference.
final class PostgresCluster: Sendable {
  private static let binaries = "/usr/lib/postgresql/15/bin"

  let port: UInt16
  let postmaster: ChildProcess
  private let directory: TemporaryDirectory

  /// The unix socket.
  var socketPath: String { directory.file(".s.PGSQL.\(port)") }
  var log: String { postmaster.errorOutput }

  private init(directory: TemporaryDirectory, settings: [String: String]) throws {
    self.directory = directory
    port = try freePort()
    var settings = settings
    settings.merge([
      "port": "\(port)", "listen_addresses": "127.0.0.1", "unix_socket_directories": directory.path, "fsync": "off",
      "max_connections": "30", "shared_buffers": "16MB", "max_wal_senders": "5", "log_min_messages": "log",
      "log_connections": "off",
    ]) { mine, _ in mine }
    let arguments = ["-D", directory.file("data")] + settings.flatMap { ["-c", "\($0.key)=\($0.value)"] }
    postmaster = try ChildProcess("\(Self.binaries)/postgres", arguments, outputs: directory, as: Self.user)
  }

  /// Backends notice the death of their postmaster.
  deinit { postmaster.signal(SIGKILL) }

  /// A primary that takes connections.
  static func primary() async throws -> PostgresCluster {
    let directory = try serverDirectory()
    try await run("initdb", ["-D", directory.file("data"), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions"])
    let rules = """
      local all,replication postgres trust
      host replication postgres 127.0.0.1/32 trust
      host all nobody_lets_in 127.0.0.1/32 reject
      host all md5_user 127.0.0.1/32 md5
      host all clear_user 127.0.0.1/32 password
      host all scram_user,clear_user 127.0.0.1/32 scram-sha-256
      host all trusted,limited,absent 127.0.0.1/32 trust
      host all absent_with_password 127.0.0.1/32 scram-sha-256
      local all clear_user password
      local all scram_user scram-sha-256
      local all all trust
      """
    try (rules + "\n").write(toFile: directory.file("data/pg_hba.conf"), atomically: false, encoding: .utf8)
    let cluster = try PostgresCluster(directory: directory, settings: [:])
    try await cluster.waitUntilReady()
    try await cluster.sql(
      """
      CREATE ROLE trusted LOGIN;
      CREATE ROLE limited LOGIN CONNECTION LIMIT 0;
      CREATE ROLE nobody_lets_in LOGIN;
      SET password_encryption = 'md5';
      CREATE ROLE md5_user LOGIN PASSWORD 'md5 secret';
      SET password_encryption = 'scram-sha-256';
      CREATE ROLE scram_user LOGIN PASSWORD 'scram secret ü';
      CREATE ROLE clear_user LOGIN PASSWORD 'clear secret';
      """)
    return cluster
  }

  /// A streaming standby of this server.
  func standby(settings: [String: String] = [:]) async throws -> PostgresCluster {
    let directory = try Self.serverDirectory()
    try await Self.run(
      "pg_basebackup",
      [
        "-h", self.directory.path, "-p", "\(port)", "-U", "postgres", "-D", directory.file("data"), "-R", "-X", "stream", "-c",
        "fast",
      ])
    return try PostgresCluster(directory: directory, settings: settings)
  }

  func waitUntilReady() async throws {
    do {
      try await eventually("the server on port \(port) answers", every: .milliseconds(50)) { try await sql("SELECT 1") == "1" }
    } catch {
      throw TestFailure("\(error)\n\(log.suffix(2000))")
    }
  }

  /// Runs statements as the superuser and gives what the last one returned.
  @discardableResult
  func sql(_ text: String) async throws -> String {
    try await Self.run(
      "psql",
      ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", directory.path, "-p", "\(port)", "-U", "postgres", "-c", text])
  }

  /// The processes of sessions that call themselves leba.
  func sessions() async throws -> [pid_t] {
    try await sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'leba'").split(separator: "\n").compactMap {
      pid_t($0)
    }
  }

  func promote() async throws { try await sql("SELECT pg_promote(wait => false)") }

  /// PostgreSQL refuses to be root.
  private static let user = "postgres"

  private static func serverDirectory() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    guard geteuid() == 0, let user = getpwnam(user)?.pointee else { return directory }
    chown(directory.path, user.pw_uid, user.pw_gid)
    return directory
  }

  @discardableResult
  private static func run(_ program: String, _ arguments: [String]) async throws -> String {
    try await mustRun("\(binaries)/\(program)", arguments, as: user, in: "/").trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

/// Free a moment ago, which is as much as can be known: a server cannot be told to take port 0. Below the range from which
/// the kernel serves those who do not care.
private func freePort() throws -> UInt16 {
  for _ in 0..<100 {
    let port = UInt16.random(in: 10_000..<30_000)
    if (try? RefusingPort(port)) != nil { return port }
  }
  throw TestFailure("no free port")
}
