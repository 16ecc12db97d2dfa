import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// Start, end, and what bad input gets.
  @Suite(.serialized) struct LifecycleTests {
    @Test func `SIGTERM under load lets every request finish and ends with 0`() async throws {
      let pair = try await WebPair()
      // Long answers, begun before and finished after the signal.
      let slow = try await onOwnThread {
        try (0..<8).map { _ in
          let client = try TCPConnection(to: pair.listener)
          try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
          return (client, try client.receive(exactly: 1024))
        }
      }
      let load = Load.requests(to: pair.listener)
      try await load.more(100)

      pair.leba.signal(SIGTERM)
      try await eventually("new connections are refused") { load.outcomes.last?.failure == "refused" }
      #expect(pair.leba.isRunning)
      for (client, start) in slow {
        let whole = start + (try await onOwnThread { try client.receiveToEnd() })
        let split = try #require(whole.firstRange(of: Array("\r\n\r\n".utf8)))
        #expect(whole.count - split.upperBound == 64 * 1024)
      }
      #expect(try await pair.leba.ended() == .exited(0))

      // What was accepted was answered; what comes too late is refused, which a client can tell from a failure.
      let failures = try await load.stop().compactMap(\.failure)
      #expect(!failures.isEmpty && failures.allSatisfy { $0 == "refused" }, "\(Set(failures))")
    }

    @Test func `a second signal ends at once what a drain would wait for`() async throws {
      let pair = try await WebPair()
      let client = try await TCPConnection.open(pair.listener)
      try await client.sending("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
      _ = try await client.receivedText(exactly: 100)
      pair.leba.signal(SIGINT)
      try await eventually("it drains") { pair.leba.log.contains("draining") }
      pair.leba.signal(SIGINT)
      #expect(try await pair.leba.ended() == .exited(1))
    }

    @Test func `version and help answer`() async throws {
      let version = try await LebaProcess.command("version")
      #expect(version.status == .exited(0))
      #expect(version.output.hasPrefix("leba "))
      let help = try await LebaProcess.command("--help")
      #expect(help.status == .exited(0))
      for command in ["run", "check", "status", "failover", "version"] { #expect(help.output.contains("  \(command)")) }
      #expect(try await LebaProcess.command("no-such-command").status == .exited(2))
    }

    @Test func `check prints the worst-case detection of each group and ends with 0`() async throws {
      let result = try await Self.check(
        """
        backends: [{id: a, address: 127.0.0.2, port: 80, protocol: http}]
        failover_groups:
          - {name: quick, mode: active-passive, backends: [a], primary: a}
          - {name: slow, mode: active-passive, backends: [a], primary: a, health_check: {interval: 5s, timeout: 2s, unhealthy_threshold: 3}}
        listeners:
          - {name: quick, address: "127.0.0.1:18081", group: quick}
          - {name: slow, address: "127.0.0.1:18082", group: slow}
        """)
      #expect(result.status == .exited(0), "\(result.errorOutput)")
      #expect(result.output.contains("quick"))
      // The next probe 300 ms after the death, each of two times out after 300 ms; 5 s, twice 5 s, and 2 s.
      #expect(result.output.contains("900ms"), "\(result.output)")
      #expect(result.output.contains("17s"), "\(result.output)")
    }

    private static let broken = """
      engin: epoll
      backends:
        - {id: a, address: 127.0.0.2, port: 80000, protocol: http}
        - {id: a, address: 127.0.0.3, port: 80, protocol: http}
      failover_groups:
        - {name: g, mode: active-passive, backends: [a, ghost]}
      listeners:
        - {name: x, address: "127.0.0.1:18081", group: g}
        - {name: y, address: "127.0.0.1:18081", group: nowhere}
      """

    @Test func `a broken configuration gets all of its errors in one run, with their places`() async throws {
      let result = try await Self.check(Self.broken)
      #expect(result.status == .exited(1))
      let errors = result.errorOutput.split(separator: "\n")
      let places = ["config.yaml:1:1: error:", "config.yaml:3:", "config.yaml:4:", "config.yaml:6:", "config.yaml:9:"]
      for place in places { #expect(errors.contains { $0.hasPrefix(place) }, "\(place) in\n\(result.errorOutput)") }
      #expect(errors.contains { $0.contains("'engine'") })
      #expect(errors.contains { $0.contains("ghost") })
      #expect(errors.contains { $0.contains("nowhere") })
      // What is wrong, and what to do.
      for error in errors { #expect(error.contains("; "), "\(error)") }
    }

    @Test func `run refuses a broken configuration and starts nothing`() async throws {
      let directory = try TemporaryDirectory()
      try directory.write(Self.broken, to: "config.yaml")
      let result = try await LebaProcess.command("run", in: directory.path)
      #expect(result.status == .exited(2))
      #expect(result.errorOutput.contains("config.yaml:1:1: error:"))
      #expect(!result.errorOutput.contains("listening"))
      let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
      #expect(left == ["config.yaml"])
    }

    @Test func `a missing file, an unset variable and an unreadable file are named`() async throws {
      let directory = try TemporaryDirectory()
      let missing = try await LebaProcess.command("run", in: directory.path)
      #expect(missing.status == .exited(2))
      #expect(missing.errorOutput.contains("config.yaml"))

      let unset = try await Self.check("zone: \"${LEBA_NO_SUCH_VARIABLE}\"")
      #expect(unset.status == .exited(1))
      #expect(unset.errorOutput.hasPrefix("config.yaml:1:"))
      #expect(unset.errorOutput.contains("LEBA_NO_SUCH_VARIABLE"))

      let folder = try await LebaProcess.command("run", "--config", directory.path)
      #expect(folder.status == .exited(2))
      #expect(folder.errorOutput.contains(directory.path))
    }

    @Test func `a taken port is named, for a listener and for the API`() async throws {
      let server = try TCPServer.echo()
      let taken = server.endpoint
      let free = Endpoint.ip("127.0.0.1", try FreePorts.next())
      try await Self.expectRefusal(naming: taken, listener: taken, api: free)
      try await Self.expectRefusal(naming: taken, listener: free, api: taken)
      withExtendedLifetime(server) {}
    }

    @Test func `an address of another machine and a socket in no folder are named`() async throws {
      let free = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let elsewhere = Endpoint.ip("192.0.2.1", free.port)
      try await Self.expectRefusal(naming: elsewhere, listener: elsewhere, api: free)
      let nowhere = Endpoint.unix("/no-such-folder/leba.sock")
      try await Self.expectRefusal(naming: nowhere, listener: nowhere, api: free)
    }

    private static func expectRefusal(naming address: Endpoint, listener: Endpoint, api: Endpoint) async throws {
      let directory = try TemporaryDirectory()
      try directory.write(
        """
        api: {address: "\(api)"}
        state_directory: \(directory.file("state"))
        backends: [{id: a, address: 127.0.0.2, port: 80, protocol: http}]
        failover_groups: [{name: g, mode: active-passive, backends: [a], primary: a}]
        listeners: [{name: web, address: "\(listener)", group: g}]
        """, to: "config.yaml")
      let result = try await LebaProcess.command("run", in: directory.path)
      #expect(result.status == .exited(1))
      #expect(result.errorOutput.contains("error: "))
      #expect(result.errorOutput.contains("\(address)"), "\(result.errorOutput)")
    }

    private static func check(_ configuration: String) async throws -> CommandResult {
      let directory = try TemporaryDirectory()
      try directory.write(configuration, to: "config.yaml")
      return try await LebaProcess.command("check", in: directory.path)
    }
  }
}
