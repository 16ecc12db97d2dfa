import Foundation
import Health
import Model
import Testing
import TestSupport

@Suite struct DescriptorTests {
  /// In a process of its own, because the limit is the process's: a host without descriptors says that it is to blame, not
  /// the member, and probes again once there are some.
  @Test func noDescriptors() async throws {
    await #expect(processExitsWith: .success) {
      closeInheritedSockets()
      // Dispatch makes its timer's descriptor when it is first needed, and traps if it cannot.
      try await Task.sleep(for: .milliseconds(1))
      let server = try await ScriptedServer { connection, event in
        if case .received = event {  // Each probe has a connection of its own.
          connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
      }
      try await Checking.run { checking in
        checking.replace([ProbeTarget(.http(HTTPCheck()), at: server.address)])
        try await checking.outcomes(until: "a pass") { $0.isPass }
        let before = try limit()
        // Those that are open stay open; there are none beyond them.
        try setLimit(3)
        let starved = try await checking.outcomes(until: "no descriptors") { $0.failure?.kind == .local }
        #expect(starved.last?.failure?.detail == "too many open files")
        try setLimit(before)
        let count = checking.outcomes().count
        try await eventually("a pass again") { checking.outcomes().dropFirst(count).contains { $0.isPass } }
      }
    }
  }
}

/// The new process has all sockets of the tests that run beside this one: as long as it is there, none of them ends.
private func closeInheritedSockets() {
  for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
    var information = stat()
    guard let descriptor = Int32(entry), fstat(descriptor, &information) == 0 else { continue }
    if information.st_mode & S_IFMT == S_IFSOCK { close(descriptor) }
  }
}

private func limit() throws -> rlim_t {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw TestFailure("getrlimit") }
  return limit.rlim_cur
}

private func setLimit(_ value: rlim_t) throws {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw TestFailure("getrlimit") }
  limit.rlim_cur = value
  guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw TestFailure("setrlimit") }
}
