import Health
import Model
import PostgresWire
import Synchronization
import Testing
import TestSupport

/// Against servers that say what a test wants; the real one is in PostgresServerTests.
@Suite struct PostgresProbeTests {
  private static func message(_ type: Character, _ body: [UInt8] = []) -> [UInt8] {
    [type.asciiValue ?? 0] + (0..<4).map { UInt8(truncatingIfNeeded: (body.count + 4) >> (24 - 8 * $0)) } + body
  }
  private static func error(_ state: String, _ text: String) -> [UInt8] {
    message("E", Array("SFATAL\0VFATAL\0C\(state)\0M\(text)\0\0".utf8))
  }
  private static let letIn = message("R", [0, 0, 0, 0]) + message("K", [0, 0, 0, 1, 0, 0, 0, 2]) + message("Z", Array("I".utf8))
  private static let askForPassword = message("R", [0, 0, 0, 10] + Array("SCRAM-SHA-256\0\0".utf8))
  private static func answer(_ value: Character) -> [UInt8] {
    message("D", [0, 1, 0, 0, 0, 1, value.asciiValue ?? 0]) + message("C", Array("SELECT 1\0".utf8)) + message("Z", Array("I".utf8))
  }
  private static let role = HealthCheck.Kind.postgres(PostgresCheck(depth: .role, tls: .disable))
  private static let startup = HealthCheck.Kind.postgres(PostgresCheck(depth: .startup, tls: .disable))

  /// Lets everybody in and is what `value` says: `t` a standby, `f` a primary.
  private static func trusting(_ value: @escaping @Sendable () -> Character = { "f" }) -> ScriptedServer.Script {
    { connection, event in
      guard case .received(let bytes) = event else { return }
      switch bytes.first {
      case 0: connection.send(letIn)
      case UInt8(ascii: "Q"): connection.send(answer(value()))
      default: connection.close()
      }
    }
  }

  @Test func startupReadsTheRequestAndLeavesInSilence() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event { connection.send(Self.askForPassword) }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.startup, at: server.address, interval: .seconds(60))])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].isPass && outcomes[0].role == nil)
      try await eventually("the connection is closed") { server.counts.open == 0 }
    }
    let startup = FrontendMessage.startup([
      .init("user", "leba"), .init("database", "postgres"), .init("application_name", "leba"),
    ])
    #expect(server.counts.received == startup.encoded)
    #expect(server.counts.resets == 0)
    try await server.stop()
  }

  @Test func startupThatNeedsNoPasswordEndsWithTerminate() async throws {
    let server = try await ScriptedServer(Self.trusting())
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.startup, at: server.address, interval: .seconds(60))])
      try await checking.outcomes(atLeast: 1)
      try await eventually("Terminate arrives") { server.counts.received.suffix(5) == FrontendMessage.terminate.encoded }
    }
    try await server.stop()
  }

  @Test(arguments: ["28000", "28P01", "3D000"]) func serverThatRefusesUsByNameHasStarted(state: String) async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received = event else { return }
      connection.send(Self.error(state, "not you"))
      connection.close()
    }
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(Self.startup, at: server.address, member: .test(1)),
        ProbeTarget(Self.role, at: server.address, member: .test(2)),
      ])
      let startup = try await checking.outcomes(of: .test(1), atLeast: 2)
      #expect(startup.allSatisfy { $0.isPass })
      let role = try await checking.outcomes(of: .test(2), atLeast: 2)
      #expect(
        role.allSatisfy { $0.failure?.kind == .authentication && $0.failure?.detail.hasSuffix(": not you [\(state)]") == true })
    }
    try await server.stop()
  }

  @Test(arguments: ["57P03", "53300", "57P01"]) func serverThatTakesNobody(state: String) async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received = event else { return }
      connection.send(Self.error(state, "not now"))
      connection.close()
    }
    try await Checking.run { checking in
      for kind in [Self.startup, Self.role] {
        let member = MemberKey(group: "g", backend: BackendID("\(kind)"))
        checking.replace([ProbeTarget(kind, at: server.address, member: member)])
        let outcomes = try await checking.outcomes(of: member, atLeast: 2)
        let expected: ProbeFailure.Kind = state == "57P01" ? .closed : .badResponse
        #expect(
          outcomes.allSatisfy { $0.failure?.kind == expected && $0.failure?.detail.hasSuffix(": not now [\(state)]") == true })
      }
    }
    try await server.stop()
  }

  @Test func oneSessionIsKeptAndAsked() async throws {
    let server = try await ScriptedServer(Self.trusting())
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 10)
      #expect(outcomes.allSatisfy { $0.role == .primary })
      #expect(server.counts.accepted == 1)
    }
    // The end of the checker is no surprise to the server.
    try await eventually("the session ends") { server.counts.open == 0 }
    #expect(server.counts.received.suffix(5) == FrontendMessage.terminate.encoded)
    try await server.stop()
  }

  @Test func promotion() async throws {
    let isPrimary = Flag()
    let server = try await ScriptedServer(Self.trusting { isPrimary.isSet ? "f" : "t" })
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address)])
      try await checking.outcomes(until: "replica") { $0.role == .replica }
      isPrimary.isSet = true
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      #expect(server.counts.accepted == 1)
    }
    try await server.stop()
  }

  /// The sentinel: an interval of an hour, and yet the death is known at once, by two witnesses.
  @Test func deathIsReportedBetweenProbes() async throws {
    for isReset in [false, true] {
      let server = try await ScriptedServer(Self.trusting())
      try await Checking.run { checking in
        checking.replace([ProbeTarget(Self.role, at: server.address, interval: .seconds(3600))])
        try await checking.outcomes(until: "primary") { $0.role == .primary }
        try await server.die(reset: isReset)
        let outcomes = try await checking.outcomes(atLeast: 3)
        #expect(outcomes[1].failure?.description.hasSuffix("(during idle)") == true)
        #expect(outcomes[1].failure?.kind == (isReset ? .reset : .closed))
        // A child that another test forks holds the listening socket until it execs: then the kernel takes the connection,
        // and resets it. That a dead server refuses is shown with a real one.
        #expect([.refused, .reset].contains(outcomes[2].failure?.kind))
      }
    }
  }

  @Test func shutdownIsReportedWithItsReason() async throws {
    let server = try await ScriptedServer(Self.trusting())
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      server.forEachConnection { connection in
        connection.send(Self.error("57P01", "terminating connection due to administrator command"))
        connection.close()
      }
      // The server still listens: the reconnect that follows the end succeeds.
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(
        outcomes[1].failure
          == ProbeFailure(.closed, "the server ends the session: terminating connection due to administrator command [57P01]"))
      #expect(outcomes[2].role == .primary)
    }
    #expect(server.counts.accepted == 2)
    #expect(server.counts.mostOpen == 1)
    try await server.stop()
  }

  /// Greets, answers once and hangs up, for ever: asked once at once, then at the interval.
  @Test func hangingUpDoesNotMakeALoop() async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event else { return }
      connection.send(bytes.first == 0 ? Self.letIn : Self.answer("f"))
      if bytes.first != 0 { connection.close() }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address, interval: .seconds(3600))])
      // Passed and ended; passed and ended again; then the hour passes.
      let outcomes = try await checking.outcomes(atLeast: 4)
      #expect(outcomes.map(\.isPass) == [true, false, true, false])
      // An early probe is still possible, and shows that nothing else was under way.
      checking.checker.probeNow(.test)
      let more = try await checking.outcomes(atLeast: 6)
      #expect(more.map(\.isPass) == [true, false, true, false, true, false])
      #expect(server.counts.accepted == 3)
    }
    try await server.stop()
  }

  @Test func sessionThatBreaksBeforeItsFirstAnswer() async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event else { return }
      if bytes.first == 0 { connection.send(Self.letIn) } else { connection.close() }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address, interval: .seconds(3600))])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure == ProbeFailure(.closed, "the connection was closed (during query)"))
    }
    try await server.stop()
  }

  /// It was a kept session: the reconnect follows at once, as when it breaks between questions.
  @Test func keptSessionThatBreaksWhileItIsAsked() async throws {
    let breaks = Flag()
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event else { return }
      if bytes.first == 0 {
        connection.send(Self.letIn)
      } else if breaks.isSet {
        connection.close()
      } else {
        connection.send(Self.answer("t"))
      }
      if bytes.first != 0 { breaks.isSet = !breaks.isSet }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "replica") { $0.role == .replica }
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes[1].failure == ProbeFailure(.closed, "the connection was closed (during query)"))
      #expect(outcomes[2].role == .replica)
    }
    try await server.stop()
  }

  @Test func queryTimeoutEndsTheSession() async throws {
    let isFrozen = Flag()
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event else { return }
      if bytes.first == 0 { connection.send(Self.letIn) } else if !isFrozen.isSet { connection.send(Self.answer("t")) }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address, timeout: .milliseconds(300))])
      try await checking.outcomes(until: "replica") { $0.role == .replica }
      isFrozen.isSet = true
      let outcomes = try await checking.outcomes(until: "a query timeout") {
        $0.failure == ProbeFailure(.timedOut, "no answer to the query within 300ms")
      }
      isFrozen.isSet = false
      let count = outcomes.count
      try await eventually("a new session") { checking.outcomes().dropFirst(count).contains { $0.role == .replica } }
    }
    try await server.stop()
  }

  @Test func silence() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(Self.startup, at: server.address, member: .test(1), interval: .milliseconds(500), timeout: .milliseconds(50)),
        ProbeTarget(Self.role, at: server.address, member: .test(2), interval: .milliseconds(500), timeout: .milliseconds(50)),
      ])
      for member in [MemberKey.test(1), .test(2)] {
        // On a busy machine a probe may not get as far in its 50 ms.
        try await checking.outcomes(of: member, until: "an authentication awaited") {
          $0.failure?.description == "timed_out: no authentication within 50ms"
        }
      }
      try await eventually("nothing is left open", every: .milliseconds(1)) { server.counts.open == 0 }
    }
    try await server.stop()
  }

  @Test func notPostgres() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event { connection.send("HTTP/1.1 400 Bad Request\r\n\r\n") }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.startup, at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure?.kind == .protocolError)
    }
    try await server.stop()
  }

  /// Never more than a bound in flight or in memory: a server that sends without end is left.
  @Test func endlessTalker() async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event, bytes.first == 0 else { return }
      connection.send(Self.message("R", [0, 0, 0, 0]))
      let chatter = Self.message("S", Array("a\0".utf8) + [UInt8](repeating: 65, count: 20_000) + [0])
      for _ in 0..<100 { connection.send(chatter) }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(Self.role, at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure?.description == "protocol_error: more bytes than any answer has")
    }
    try await server.stop()
  }

  @Test func passwordInTheClear() async throws {
    let directory = try TemporaryDirectory()
    let check = HealthCheck.Kind.postgres(PostgresCheck(password: Secret("hunter2"), depth: .role, tls: .disable))
    for place in [.v4, .unix(directory.file("pg"))] as [ScriptedServer.Place] {
      let server = try await ScriptedServer(on: place) { connection, event in
        guard case .received(let bytes) = event else { return }
        switch bytes.first {
        case 0: connection.send(Self.message("R", [0, 0, 0, 3]))
        case UInt8(ascii: "p"): connection.send(Self.letIn)
        default: connection.send(Self.answer("f"))
        }
      }
      try await Checking.run { checking in
        checking.replace([ProbeTarget(check, at: server.address)])
        let outcome = try await checking.outcomes(atLeast: 1)[0]
        if server.address.port == nil {
          #expect(outcome.role == .primary)
          #expect(server.counts.text.contains("hunter2"))
        } else {
          #expect(outcome.failure?.kind == .authentication)
          #expect(!server.counts.text.contains("hunter2"))
        }
      }
      try await server.stop()
    }
  }
}

/// A switch that a test throws while a server looks at it.
private final class Flag: Sendable {
  private let value = Mutex(false)
  var isSet: Bool {
    get { value.withLock { $0 } }
    set { value.withLock { $0 = newValue } }
  }
}
