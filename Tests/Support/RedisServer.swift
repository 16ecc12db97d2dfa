import Foundation
import Synchronization

/// A real Redis, without anything on disk. Its users: `default`, with a password if one is given, and `prober` (password `secret`), who
/// may only PING.
package final class RedisServer: Sendable {
  package static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: "/usr/bin/redis-server") }

  package let port: UInt16
  private let password: String?
  private let directory: TemporaryDirectory
  private let process = Mutex<ChildProcess?>(nil)

  package init(password: String? = nil) async throws {
    port = try FreePorts.next()
    self.password = password
    directory = try TemporaryDirectory()
    try await start()
  }

  package var socket: String { directory.file("redis") }

  package func start() async throws {
    let settings = """
      port \(port)
      bind 127.0.0.1
      unixsocket \(socket)
      dir \(directory.path)
      save ""
      appendonly no
      user prober on >secret -@all +ping
      \(password.map { "requirepass \"\($0)\"" } ?? "")
      """
    let child = try ChildProcess("redis-server", [try directory.write(settings, to: "redis.conf")], outputs: directory)
    process.withLock { $0 = child }
    try await eventually("Redis on \(port) answers") {
      try child.mustBeRunning()
      return try await command("PING") == "PONG"
    }
  }

  /// Runs a command with all rights.
  @discardableResult
  package func command(_ words: String...) async throws -> String {
    let access = password.map { ["--no-auth-warning", "-a", $0] } ?? []
    return try await mustRun("redis-cli", ["-s", socket] + access + words).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  package func kill() async throws {
    process.withLock { $0 }?.signal(SIGKILL)
    try await process.withLock { $0 }?.ended()
  }

  package func freeze() { process.withLock { $0 }?.signal(SIGSTOP) }
  package func thaw() { process.withLock { $0 }?.signal(SIGCONT) }
}
