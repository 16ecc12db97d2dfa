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
        checking.replace([ProbeTarget(.tcp, at: server.address)])
        let outcomes = try await checking.outcomes(atLeast: 3)
        #expect(outcomes.allSatisfy { $0.isPass && $0.role == nil })
        // Every connection is closed by the probe itself, in good order, without a word.
        try await eventually("the connections are closed", every: .milliseconds(1)) {
          server.counts.accepted >= 3 && server.counts.open == 0
        }
      }
      #expect(server.counts.resets == 0)
      #expect(server.counts.received.isEmpty)
      try await server.stop()
    }
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
