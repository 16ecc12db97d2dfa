import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// Container runtimes forbid io_uring by default.
  @Suite(.serialized, .enabled(if: ioUringIsPermitted, "what is not to be had cannot be forbidden"))
  struct EngineChoiceTests {
    @Test func `where io_uring is forbidden auto takes epoll, says why in one line, and serves`() async throws {
      let launcher = try await Shim("without-io-uring", .program)
      let server = try await NginxServer("one", host: "127.0.0.2")
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """, launcher: [launcher.path], engine: "auto")
      try await leba.untilPrimary(of: "web", is: "one")
      #expect(try await HTTP.get("/", from: listener).body == "one")
      #expect(try await leba.get("/api/v1/status").json["engine"].string == "epoll")
      let lines = leba.log.split(separator: "\n").filter { $0.contains("io_uring") }
      #expect(lines.count == 1, "\(leba.log)")
      let reason = "engine epoll (no io_uring: it is forbidden here, by a seccomp profile or by kernel.io_uring_disabled)"
      #expect(lines.first?.contains(reason) == true, "\(lines)")
    }

    @Test func `where io_uring is forbidden and asked for leba does not start, and says what to write instead`() async throws {
      let launcher = try await Shim("without-io-uring", .program)
      let outputs = try TemporaryDirectory()
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      try outputs.write(
        """
        api: {address: "127.0.0.1:\(try FreePorts.next())"}
        state_directory: \(outputs.file("state"))
        engine: io_uring
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: 80}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """, to: "config.yaml")
      let leba = try ChildProcess(
        launcher.path, [LebaProcess.binary, "run", "--config", outputs.file("config.yaml")], outputs: outputs)
      #expect(try await leba.ended() == .exited(1))
      let reason = "it is forbidden here, by a seccomp profile or by kernel.io_uring_disabled"
      #expect(
        leba.errorOutput.contains("error: engine io_uring cannot be used here: \(reason); use auto or epoll"), "\(leba.errorOutput)"
      )
    }
  }
}
