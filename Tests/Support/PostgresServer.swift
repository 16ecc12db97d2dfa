import Foundation
import Synchronization

/// One real PostgreSQL server. A pair is a primary and a `standby()` of it on another loopback address and the same port,
/// as hosts have it.
///
/// Users, without superuser rights: `app` (trust), `app_md5` and `app_scram` (password `secret`), and `leba` (trust) for probes.
package final class PostgresServer: Sendable {
  package let host: String
  package let port: UInt16
  package var endpoint: Endpoint { .ip(host, port) }
  private let directory: TemporaryDirectory
  private let process = Mutex<ChildProcess?>(nil)

  private init(host: String, port: UInt16) throws {
    self.host = host
    self.port = port
    directory = try TemporaryDirectory()
    guard geteuid() == 0 else { return }
    guard let owner = getpwnam(Self.owner) else { throw TestFailure("no user \(Self.owner)") }
    chown(directory.path, owner.pointee.pw_uid, owner.pointee.pw_gid)
  }

  package static func primary(host: String = "127.0.0.1", port: UInt16? = nil) async throws -> PostgresServer {
    let server = try PostgresServer(host: host, port: port ?? FreePorts.next())
    try await server.tool(
      "initdb", ["-D", server.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-sync"])
    try await server.tool("cp", [try server.directory.write(accessRules, to: "hba"), "\(server.data)/pg_hba.conf"])
    try await server.start()
    // pg_rewind needs the log back to where the servers parted; its own recovery run reads only the files in the data folder.
    try await server.query("ALTER SYSTEM SET wal_keep_size = '256MB'")
    try await server.query(
      """
      CREATE USER app; CREATE USER leba;
      SET password_encryption = 'md5'; CREATE USER app_md5 PASSWORD 'secret';
      SET password_encryption = 'scram-sha-256'; CREATE USER app_scram PASSWORD 'secret';
      CREATE TABLE writes (id bigserial PRIMARY KEY, note text);
      GRANT ALL ON ALL TABLES IN SCHEMA public TO app, app_md5, app_scram;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app, app_md5, app_scram;
      """)
    return server
  }

  /// - Parameter delay: how long it waits before it replays what it received (`recovery_min_apply_delay`).
  package func standby(host: String, delay: String = "0") async throws -> PostgresServer {
    let server = try PostgresServer(host: host, port: port)
    try await server.tool(
      "pg_basebackup",
      ["-h", self.host, "-p", "\(port)", "-U", "postgres", "-D", server.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"])
    if delay != "0" {
      try await server.tool("sh", ["-c", "echo \"recovery_min_apply_delay = '\(delay)'\" >> \(server.data)/postgresql.auto.conf"])
    }
    try await server.start()
    return server
  }

  package func start() async throws {
    let settings = [
      "listen_addresses=\(host)", "port=\(port)", "unix_socket_directories=\(directory.path)", "fsync=off",
      "synchronous_commit=off", "shared_buffers=16MB", "max_connections=50", "log_connections=on",
      "autovacuum=off", "wal_receiver_status_interval=1s", "max_wal_senders=4",
    ]
    let child = try ChildProcess(
      Self.program("postgres"), ["-D", data] + settings.flatMap { ["-c", $0] }, outputs: directory, as: Self.owner)
    process.withLock { $0 = child }
    try await eventually("PostgreSQL on \(endpoint) answers") {
      try child.mustBeRunning()
      return try await query("SELECT 1") == "1"
    }
  }

  /// Runs SQL as the superuser, directly. Rows are lines, columns are joined by `|`.
  @discardableResult
  package func query(_ sql: String) async throws -> String {
    let output = try await mustRun(
      "psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", "\(port)", "-U", "postgres", "-c", sql],
      environment: ["PGCONNECT_TIMEOUT": "5"])
    return output.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Offers TLS from here on, and only to those who ask for it.
  package func offerTLS(_ certificate: TestCertificate) async throws {
    for (name, text) in [("server.crt", certificate.certificate), ("server.key", certificate.key)] {
      let file = try directory.write(text, to: name)
      try await tool("install", ["-m", "600", file, "\(data)/\(name)"])
    }
    try await query("ALTER SYSTEM SET ssl = on")
    try await query("SELECT pg_reload_conf()")
    try await eventually("\(endpoint) offers TLS") { try await query("SHOW ssl") == "on" }
  }

  /// From here on a write of `app` is acknowledged when a standby has it, too, and so is never lost with this server.
  package func acknowledgeWhatAStandbyHas() async throws {
    try await query("ALTER ROLE app SET synchronous_commit = 'remote_write'")
    try await query("ALTER SYSTEM SET synchronous_standby_names = '*'")
    try await query("SELECT pg_reload_conf()")
    try await eventually("the standby is waited for") {
      try await query("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
    }
  }

  package var isInRecovery: Bool { get async throws { try await query("SELECT pg_is_in_recovery()") == "t" } }

  /// The server's log, from its first start on.
  package var log: String { process.withLock { $0 }?.errorOutput ?? "" }

  /// Kills every process of the server at once: what a lost host looks like when its kernel still answers.
  package func killAll() async throws {
    guard let child = process.withLock({ $0 }) else { return }
    child.signalTree(SIGKILL)
    try await child.ended()
  }

  package func freeze() { process.withLock { $0 }?.signalTree(SIGSTOP) }
  package func thaw() { process.withLock { $0 }?.signalTree(SIGCONT) }

  /// A fast shutdown: sessions are ended with 57P01.
  package func stop() async throws {
    process.withLock { $0 }?.signal(SIGINT)
    try await process.withLock { $0 }?.ended()
  }

  package func promote() async throws {
    try await query("SELECT pg_promote(wait => true, wait_seconds => 30)")
    try await eventually("\(endpoint) is promoted") { try await !isInRecovery }
  }

  /// Brings a killed primary back as a standby of `primary`.
  package func rejoin(_ primary: PostgresServer) async throws {
    // pg_rewind reads the timeline from the control file, which only a checkpoint brings up to date.
    try await primary.query("CHECKPOINT")
    let source = "host=\(primary.host) port=\(primary.port) user=postgres dbname=postgres"
    try await tool("pg_rewind", ["-D", data, "--source-server=\(source)", "-R", "--no-sync"])
    try await start()
  }

  // MARK: Programs

  private static let owner = "postgres"

  private static let accessRules = """
    host all app_md5 all md5
    host all app_scram all scram-sha-256
    host replication all all trust
    host all all all trust
    local all all trust

    """

  private var data: String { directory.file("data") }

  @discardableResult
  private func tool(_ name: String, _ arguments: [String]) async throws -> String {
    try await mustRun(Self.program(name), arguments, as: Self.owner, in: directory.path)
  }

  /// Debian keeps the server's programs out of the PATH, one folder a version; the newest is taken.
  package static func program(_ name: String) -> String {
    let root = "/usr/lib/postgresql"
    let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).compactMap { Int($0) }.sorted(by: >)
    return versions.lazy.map { "\(root)/\($0)/bin/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) } ?? name
  }
}
