import Health
import Model
import Testing
import TestSupport

@Suite struct TCPProbeTests {
  @Test func listenerPasses() async throws {
    let directory = try TemporaryDirectory()
    for place in [.v4, .v6, .unix(directory.file("s"))] as [ScriptedServer.Place] {
      let server = try await ScriptedServer(on: place) { _, _ in }
      try await Checking.run { checking in
        checking.replace([ProbeTarget(.tcp, at: server.address, keepsSentinel: true)])
        let outcomes = try await checking.outcomes(atLeast: 10)
        #expect(outcomes.allSatisfy { $0.isPass && $0.role == nil })
        try await eventually("the sentinel is there") { server.counts.open == 1 }
      }
      try await eventually("the connections are closed") { server.counts.open == 0 }
      #expect(server.counts.resets == 0)
      #expect(server.counts.received.isEmpty)
      try await server.stop()
    }
  }

  /// One connection, the sentinel's; where there is to be none, because probes are rare or nobody asked, no connection at all.
  @Test func `the server's program never hears of a probe`() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(.tcp, at: server.address, keepsSentinel: true),
        ProbeTarget(.tcp, at: server.address, member: .test(2), interval: .seconds(2), keepsSentinel: true),
        ProbeTarget(.tcp, at: server.address, member: .test(3)),
      ])
      try await checking.outcomes(atLeast: 30)
      for _ in 0..<3 {
        let count = checking.outcomes(of: .test(2)).count
        checking.checker.probeNow(.test(2))
        try await checking.outcomes(of: .test(2), atLeast: count + 1)
      }
    }
    #expect(server.counts.accepted == 1)
    try await eventually("the connection is closed") { server.counts.open == 0 }
    try await server.stop()
  }

  /// Probes are a second apart, as far as a sentinel's may be: without one, the death would show much later.
  @Test(arguments: [true, false]) func `a dying server has two witnesses at once`(reset: Bool) async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: server.address, interval: .seconds(1), keepsSentinel: true)])
      try await eventually("the sentinel is there") { server.counts.open == 1 }
      try await server.die(reset: reset)
      let outcomes = try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
      #expect(outcomes.suffix(2).map(\.failure?.kind) == [reset ? .reset : .closed, .refused])
    }
  }

  @Test func `a server that hangs up on quiet clients is well, and has no sentinel for a while`() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .accepted = event {
        connection.send("220 hello\r\n")
        connection.close()
      }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: server.address, keepsSentinel: true)])
      let outcomes = try await checking.outcomes(atLeast: 20)
      #expect(outcomes.allSatisfy { $0.isPass })
    }
    #expect(server.counts.accepted == 1)
    try await server.stop()
  }

  @Test func refused() async throws {
    let port = try RefusingPort()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: port.address)])
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes.allSatisfy { $0.failure?.description == "refused: connection refused" })
    }
  }

  @Test func refusedUnixSockets() async throws {
    let directory = try TemporaryDirectory()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: .unix(path: directory.file("nobody")))])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes.first?.failure?.kind == .refused)
    }
  }

  @Test func silence() async throws {
    let port = try SilentPort()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: port.address, timeout: .milliseconds(50))])
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes.allSatisfy { $0.failure?.description == "timed_out: no connection within 50ms" })
    }
  }

  @Test func recovery() async throws {
    let port = try RefusingPort()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: port.address)])
      try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
      try port.listen(backlog: 100)
      try await checking.outcomes(until: "a pass") { $0.isPass }
    }
  }
}
