import Foundation
import Synchronization

/// A real MariaDB, listening on 127.0.0.1 and on a unix socket; `root` may do everything there.
package final class MariaDBServer: Sendable {
  package static var isInstalled: Bool {
    ["/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/mariadb"].allSatisfy {
      FileManager.default.isExecutableFile(atPath: $0)
    }
  }

  package let port: UInt16
  private let directory: TemporaryDirectory
  private let process = Mutex<ChildProcess?>(nil)
  private let encryption: [String]

  /// - Parameter certificate: what it offers TLS with; nil: it offers none.
  package init(_ certificate: TestCertificate? = nil) async throws {
    port = try FreePorts.next()
    directory = try TemporaryDirectory()
    encryption =
      if let certificate {
        [
          "--ssl-cert=\(try directory.write(certificate.certificate, to: "certificate"))",
          "--ssl-key=\(try directory.write(certificate.key, to: "key"))",
        ]
      } else { [] }
    if geteuid() == 0 {
      guard let owner = getpwnam(Self.owner) else { throw TestFailure("no user \(Self.owner)") }
      chown(directory.path, owner.pointee.pw_uid, owner.pointee.pw_gid)
    }
    try await mustRun(
      "mariadb-install-db",
      [
        "--no-defaults", "--datadir=\(directory.file("data"))", "--auth-root-authentication-method=normal", "--skip-test-db",
        "--skip-name-resolve",
      ] + Self.smallFiles, as: Self.owner, in: directory.path)
    try await start()
  }

  package var socket: String { directory.file("mariadb") }

  package func start() async throws {
    let child = try ChildProcess(
      "/usr/sbin/mariadbd",
      [
        "--no-defaults", "--datadir=\(directory.file("data"))", "--socket=\(socket)", "--port=\(port)", "--bind-address=127.0.0.1",
        "--pid-file=\(directory.file("pid"))", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
      ] + Self.smallFiles + encryption, outputs: directory, as: Self.owner)
    process.withLock { $0 = child }
    try await eventually("MariaDB on \(port) answers") {
      try child.mustBeRunning()
      return try await query("SELECT 1") == "1"
    }
  }

  /// Runs SQL as the superuser. Rows are lines, columns are joined by tabs.
  @discardableResult
  package func query(_ sql: String) async throws -> String {
    try await mustRun("mariadb", ["--no-defaults", "-S", socket, "-u", "root", "-N", "-B", "-e", sql])
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  package func status(_ name: String) async throws -> Int? {
    Int(try await query("SELECT variable_value FROM information_schema.global_status WHERE variable_name = '\(name)'"))
  }

  package func kill() async throws {
    process.withLock { $0 }?.signal(SIGKILL)
    try await process.withLock { $0 }?.ended()
  }

  package func freeze() { process.withLock { $0 }?.signal(SIGSTOP) }
  package func thaw() { process.withLock { $0 }?.signal(SIGCONT) }

  private static let owner = "mysql"
  private static let smallFiles = [
    "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-data-file-path=ibdata1:4M:autoextend",
  ]
}
