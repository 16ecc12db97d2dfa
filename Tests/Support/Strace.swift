import Foundation

/// Makes system calls of single threads fail: strace, attached to the workers of a sidecar, so that the data plane is hit and nothing else.
package final class Strace: Sendable {
  private let directory: TemporaryDirectory
  private let process: ChildProcess

  /// - Parameter faults: strace's `inject` expressions, such as `accept4:error=EMFILE:when=1..5`. Without any it only counts.
  package init(attachedTo threads: [Int32], inject faults: [String] = []) async throws {
    directory = try TemporaryDirectory()
    let process = try ChildProcess(
      "strace",
      ["-o", directory.file("calls")] + threads.flatMap { ["-p", "\($0)"] } + faults.flatMap { ["-e", "inject=\($0)"] },
      outputs: directory)
    self.process = process
    try await eventually("strace is attached") {
      try process.mustBeRunning()
      return process.errorOutput.split(separator: "\n").count { $0.hasSuffix("attached") } == threads.count
    }
  }

  /// How many calls failed because strace said so. The threads run on meanwhile.
  package var injected: Int { lines.count { $0.hasSuffix("(INJECTED)") } }

  /// Lets the threads go. Returns how many system calls they made.
  package func detach() async throws -> Int {
    process.signal(SIGTERM)
    try await process.ended()
    return lines.count
  }

  private var lines: [Substring] { readFile(directory.file("calls")).split(separator: "\n") }

  /// Whether it is installed and may attach, which containers often forbid.
  package static let isUsable: Bool = {
    let probe = Process()
    probe.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    probe.arguments = ["strace", "-f", "-e", "trace=none", "-o", "/dev/null", "true"]
    probe.standardError = FileHandle.nullDevice
    probe.standardOutput = FileHandle.nullDevice
    guard (try? probe.run()) != nil else { return false }
    probe.waitUntilExit()
    return probe.terminationStatus == 0
  }()
}
