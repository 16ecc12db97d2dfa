import Health
import Model
import Synchronization
import Testing
import TestSupport

/// Connections of HTTP probes between probes.
@Suite struct HTTPKeepAliveTests {
  private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  private func server(_ answer: String = ok, thenClose: Bool = false) async throws -> ScriptedServer {
    try await ScriptedServer { connection, event in
      guard case .received = event else { return }
      connection.send(answer)
      if thenClose { connection.close() }
    }
  }

  private func target(
    _ server: ScriptedServer, _ check: HTTPCheck = HTTPCheck(), interval: Duration = .milliseconds(30)
  ) -> ProbeTarget { ProbeTarget(.http(check), at: server.address, interval: interval) }

  @Test(arguments: [HTTPCheck(), HTTPCheck(bodyContains: "ok")]) func oneConnectionForAllProbes(check: HTTPCheck) async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([target(server, check)])
      let outcomes = try await checking.outcomes(atLeast: 6)
      #expect(outcomes.allSatisfy { $0.isPass })
    }
    #expect(server.counts.accepted == 1)
    #expect(!server.counts.text.contains("Connection:"))
    try await eventually("the connection is closed") { server.counts.open == 0 }
    #expect(server.counts.resets == 0)
    try await server.stop()
  }

  @Test func headersAreSentInOrderBesidesTheHost() async throws {
    let server = try await server()
    let check = HTTPCheck(
      host: "app.example.com",
      headers: [HTTPHeader("X-Probe", "1"), HTTPHeader("host", "other"), HTTPHeader("Authorization", "Bearer t")])
    try await Checking.run { checking in
      checking.replace([target(server, check, interval: .seconds(60))])
      try await checking.outcomes(atLeast: 1)
    }
    #expect(
      server.counts.text
        == "GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Probe: 1\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n")
    try await server.stop()
  }

  /// In as many words, by closing, or because the end of the body is the end of the connection.
  @Test(arguments: [
    ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false),
    ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
    (ok, true), ("HTTP/1.1 200 OK\r\n\r\nok", true),
  ]) func serversThatKeepNothing(answer: String, thenClose: Bool) async throws {
    let server = try await server(answer, thenClose: thenClose)
    try await Checking.run { checking in
      checking.replace([target(server)])
      let outcomes = try await checking.outcomes(atLeast: 5)
      #expect(outcomes.allSatisfy { $0.isPass }, "\(outcomes)")
      #expect(server.counts.accepted >= 5)
    }
    try await eventually("the connections are closed") { server.counts.open == 0 }
    try await server.stop()
  }

  /// No failure, but asked at once and not in an hour.
  @Test func anEndInGoodOrderIsAReasonToAskAgain() async throws {
    let server = try await server()
    try await Checking.run { checking in
      let member = MemberKey.test
      checking.replace([target(server, interval: .seconds(1))])
      try await checking.outcomes(atLeast: 1)
      checking.checker.probeNow(member)
      let before = try await checking.outcomes(atLeast: 2).count
      #expect(server.counts.accepted == 1)
      server.forEachConnection { $0.close() }
      let outcomes = try await checking.outcomes(atLeast: before + 1)
      #expect(outcomes.allSatisfy { $0.isPass })
      try await eventually("a new connection") { server.counts.accepted == 2 }
    }
    try await server.stop()
  }

  @Test func aResetIsAFailure() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([target(server, interval: .seconds(1))])
      try await checking.outcomes(atLeast: 1)
      server.forEachConnection { $0.reset() }
      try await checking.outcomes(until: "a reset, then a pass") { $0.failure?.kind == .reset }
      let count = checking.outcomes().count
      try await eventually("a pass again") { checking.outcomes().dropFirst(count - 1).contains { $0.isPass } }
    }
    try await server.stop()
  }

  /// The server closes at the very moment it is asked: a habit with idle connections, seen by every client that keeps them.
  @Test func aRequestThatCrossesTheEndOfItsConnectionIsRepeated() async throws {
    let requests = Mutex(0)
    let alternating = try await ScriptedServer { connection, event in
      guard case .received = event else { return }
      // One that meets the end, one that is answered, on a new connection.
      let number = requests.withLock { count in
        count += 1
        return count
      }
      if number % 2 == 1 { connection.send(Self.ok) } else { connection.close() }
    }
    try await Checking.run { checking in
      checking.replace([target(alternating)])
      let outcomes = try await checking.outcomes(atLeast: 8)
      #expect(outcomes.allSatisfy { $0.isPass }, "\(outcomes)")
    }
    try await alternating.stop()
  }

  @Test func wordsNobodyAskedForEndTheConnection() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([target(server)])
      try await checking.outcomes(atLeast: 3)
      server.forEachConnection { $0.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n") }
      try await eventually("a new connection") { server.counts.accepted >= 2 }
      let outcomes = try await checking.outcomes(atLeast: checking.outcomes().count + 3)
      #expect(outcomes.allSatisfy { $0.isPass }, "\(outcomes)")
    }
    try await server.stop()
  }

  /// A body that nobody reads may end, or the connection does.
  @Test func longBodies() async throws {
    for (size, keeps) in [(1000, true), (300_000, false)] {
      let body = String(repeating: "x", count: size)
      let server = try await server("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n" + body)
      try await Checking.run { checking in
        checking.replace([target(server)])
        let outcomes = try await checking.outcomes(atLeast: 4)
        #expect(outcomes.allSatisfy { $0.isPass })
        #expect(keeps ? server.counts.accepted == 1 : server.counts.accepted >= 4)
      }
      try await eventually("the connections are closed") { server.counts.open == 0 }
      try await server.stop()
    }
  }

  @Test func theDeathOfAServerIsKnownAtOnce() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([target(server, interval: .seconds(1))])
      try await checking.outcomes(atLeast: 2)
      try await server.die(reset: false)
      try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
    }
  }
}
