import Foundation
import Synchronization

/// A program that a test started. It is ended by its process id, at the latest when the last reference to it goes, and by
/// the kernel when the test process dies.
package final class ChildProcess: Sendable {
  package enum Ending: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    package var description: String {
      switch self {
      case .exited(let status): "exit status \(status)"
      case .signalled(let signal): "signal \(signal)"
      }
    }
  }

  package let name: String
  package let pid: Int32
  private let outputPath: String
  private let errorPath: String
  private let ending = Mutex<Ending?>(nil)

  /// - Parameters:
  ///   - outputs: where standard output and standard error are kept, as `NAME.out` and `NAME.err`.
  ///   - user: whom to run as, where we are root. PostgreSQL refuses to be root.
  package init(
    _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], outputs: TemporaryDirectory,
    name: String? = nil, workingDirectory: String? = nil, as user: String? = nil
  ) throws {
    let name = name ?? (program as NSString).lastPathComponent
    self.name = name
    outputPath = outputs.file("\(name).out")
    errorPath = outputs.file("\(name).err")
    // The kernel kills the child when the thread that forked it ends, which is why one thread forks them all.
    var wrapped = ["env"] + (workingDirectory.map { ["--chdir=\($0)"] } ?? [])
    wrapped += ["setpriv", "--pdeathsig", "KILL"]
    if let user, geteuid() == 0 { wrapped += ["--reuid=\(user)", "--regid=\(user)", "--init-groups"] }
    wrapped += ["--", program] + arguments
    let whole = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let (command, output, error) = (wrapped, outputPath, errorPath)
    pid = try ForkingThread.shared.run {
      try spawn(command, environment: whole, output: output, error: error)
    }
  }

  deinit {
    guard reap(WNOHANG) == nil else { return }
    kill(pid, SIGKILL)
    _ = reap(0)
  }

  package var output: String { readFile(outputPath) }
  package var errorOutput: String { readFile(errorPath) }

  package var isRunning: Bool { reap(WNOHANG) == nil }

  /// For conditions that wait for something this process does.
  package func mustBeRunning() throws(Hopeless) {
    if let ending = reap(WNOHANG) { throw Hopeless("\(name) ended with \(ending): \(errorOutput)") }
  }

  package func signal(_ signal: Int32) { if isRunning { kill(pid, signal) } }

  /// Signals the process and everything that it started: PostgreSQL's backends live in sessions of their own.
  package func signalTree(_ signal: Int32) {
    guard isRunning else { return }
    let children = Self.descendants(of: pid)
    for process in [pid] + children { kill(process, signal) }
  }

  @discardableResult
  package func ended(within limit: Duration = patience) async throws -> Ending {
    try await eventually("\(name) ends", within: limit, every: .milliseconds(5)) { reap(WNOHANG) }
  }

  /// SIGTERM, and SIGKILL for what does not listen.
  @discardableResult
  package func terminate(within limit: Duration = patience) async throws -> Ending {
    signal(SIGTERM)
    do { return try await ended(within: limit) } catch {
      signalTree(SIGKILL)
      try await ended()
      throw TestFailure("\(name) did not end on SIGTERM within \(limit)")
    }
  }

  /// Resident memory in bytes.
  package var residentMemory: Int {
    let line = readFile("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return (line?.split(separator: " ").compactMap { Int($0) }.first ?? 0) * 1024
  }

  package var descriptorCount: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0 }

  private func reap(_ options: Int32) -> Ending? {
    ending.withLock { ending in
      if ending != nil { return ending }
      var status: Int32 = 0
      guard waitpid(pid, &status, options) == pid else { return nil }
      ending = status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f)
      return ending
    }
  }

  private static func descendants(of root: Int32) -> [Int32] {
    var children: [Int32: [Int32]] = [:]
    for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
      guard let pid = Int32(entry) else { continue }
      // After the name in parentheses, which may contain anything: state, parent.
      let fields = readFile("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
      if fields.count > 1, let parent = Int32(fields[1]) { children[parent, default: []].append(pid) }
    }
    var found: [Int32] = []
    var next = [root]
    while let pid = next.popLast() {
      found += children[pid] ?? []
      next += children[pid] ?? []
    }
    return found
  }
}

/// What a short-lived program said.
package struct CommandResult: Sendable {
  package let status: ChildProcess.Ending
  package let output: String
  package let errorOutput: String
}

/// Runs a program to its end.
package func run(
  _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], as user: String? = nil,
  in workingDirectory: String? = nil, within limit: Duration = .seconds(60)
) async throws -> CommandResult {
  let outputs = try TemporaryDirectory()
  let child = try ChildProcess(
    program, arguments, environment: environment, outputs: outputs, workingDirectory: workingDirectory, as: user)
  let status = try await child.ended(within: limit)
  return CommandResult(status: status, output: child.output, errorOutput: child.errorOutput)
}

/// Runs a program that has to succeed, and gives its standard output.
@discardableResult
package func mustRun(
  _ program: String, _ arguments: [String] = [], environment: [String: String] = [:], as user: String? = nil,
  in workingDirectory: String? = nil, within limit: Duration = .seconds(60)
) async throws -> String {
  let result = try await run(
    program, arguments, environment: environment, as: user, in: workingDirectory, within: limit)
  guard result.status == .exited(0) else {
    throw TestFailure("\(program) \(arguments.joined(separator: " ")): \(result.status)\n\(result.output)\(result.errorOutput)")
  }
  return result.output
}
