import Model
import NIOCore
import NIOPosix
import Testing
import TestSupport

@testable import Health

/// Whether a port refuses, asked beside conversations that somebody wanted to have at once.
@Suite struct KnockTests {
  private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  private func target(_ server: ScriptedServer, interval: Duration) -> ProbeTarget {
    ProbeTarget(.http(HTTPCheck()), at: server.address, interval: interval)
  }

  /// Its timeout is half a minute away, and its connection does not end.
  @Test func `a refusal ends a conversation that waits`() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([target(server, interval: .seconds(30))])
      try await eventually("the request is there") { server.counts.text.contains("GET / ") }
      try await server.stopListening()
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes.first?.failure?.description == "refused: connection refused")
    }
    #expect(server.counts.accepted == 1)
    try await server.stop()
  }

  /// New clients could not connect, however well the kept connection works; and the next probe does not say otherwise.
  @Test func `a kept connection does not hide a refusal`() async throws {
    let server = try await ScriptedServer { connection, event in if case .received = event { connection.send(Self.ok) } }
    try await Checking.run { checking in
      checking.replace([target(server, interval: .milliseconds(300))])
      try await checking.outcomes(atLeast: 2)
      try await server.stopListening()
      checking.checker.probeNow(.test)
      let failed = try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }.count
      let outcomes = try await checking.outcomes(atLeast: failed + 2)
      #expect(outcomes.dropFirst(failed - 1).allSatisfy { $0.failure?.kind == .refused })
    }
    try await server.stop()
  }

  @Test func `a server that takes the connection never hears of it`() async throws {
    let server = try await ScriptedServer { connection, event in if case .received = event { connection.send(Self.ok) } }
    try await Checking.run { checking in
      checking.replace([target(server, interval: .milliseconds(900))])
      for count in 1...5 {
        try await checking.outcomes(atLeast: count)
        checking.checker.probeNow(.test)
      }
      let outcomes = try await checking.outcomes(atLeast: 6)
      #expect(outcomes.allSatisfy { $0.isPass })
    }
    #expect(server.counts.accepted == 1)
    #expect(server.counts.resets == 0)
    try await server.stop()
  }

  /// A refusal on this host is here before `connect` returns, unless the kernel takes the connect for one more packet of a connection that was closed.
  @Test(.enabled(if: Capabilities.allowNamespaces)) func `ports apart meet no remains`() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let (waiting, refused) = try await group.next().submit {
      // What other connections of this host leave behind is not in it.
      try enterNetwork(ports: 40000...40199)
      let port = try RefusingPort()
      try port.leaveRemains(ports: 100)
      let connector = Connector(loop: group.next())
      var (waiting, refused) = (0, 0)
      for member in 0..<UInt32(20) {
        // None of them opens.
        if (try? connector.probe(port.address, of: member)) != nil { waiting += 1 }
        do throws(ProbeFailure) {
          _ = try connector.probe(port.address, from: .apart, of: member)
        } catch {
          if error.kind == .refused { refused += 1 }
        }
      }
      return (waiting, refused)
    }.get()
    try await group.shutdownGracefully()
    #expect(refused == 20)
    // Or there were no remains to meet.
    #expect(waiting > 10)
  }
}
