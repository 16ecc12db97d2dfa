import Health
import Model
import Testing
import TestSupport

/// Kinds that keep a session, against servers that misbehave at every stage.
@Suite struct SessionProbeTests {
  static let kinds: [HealthCheck.Kind] = [
    .redis(RedisCheck()), .redis(RedisCheck(password: Secret("x"))), .mysql(MySQLCheck()),
    .mysql(MySQLCheck(user: "a", password: Secret("x"))),
  ]
  /// A good beginning for each.
  static let beginnings: [[UInt8]] = [[], Array("+OK\r\n".utf8), greeting]

  private static let greeting: [UInt8] = {
    var packet: [UInt8] = [69, 0, 0, 0, 10, 56, 0, 1, 0, 0, 0] + [UInt8](repeating: 7, count: 8)
    packet += [0, 0xff, 0xff, 45, 2, 0, 0xff, 0xdf, 21] + [UInt8](repeating: 0, count: 10)
    packet += [UInt8](repeating: 7, count: 12) + [0]
    return packet + Array("mysql_native_password".utf8) + [0]
  }()

  private static func script(after beginning: [UInt8], _ what: @escaping @Sendable (ScriptedServer.Connection) -> Void)
    -> ScriptedServer.Script
  {
    { connection, event in
      if case .accepted = event, !beginning.isEmpty { connection.send(beginning) }
      what(connection)
    }
  }

  private func failures(_ script: @escaping ScriptedServer.Script, timeout: Duration = .seconds(30)) async throws -> [ProbeFailure?]
  {
    let server = try await ScriptedServer(script)
    let outcomes = try await Checking.firstOutcomes(Self.kinds, at: server.address, timeout: timeout)
    try await eventually("the connections are closed") { server.counts.open == 0 }
    try await server.stop()
    return outcomes.map(\.failure)
  }

  @Test(arguments: beginnings) func garbage(after beginning: [UInt8]) async throws {
    let failures = try await failures(Self.script(after: beginning) { $0.send([UInt8](repeating: 0xa5, count: 20_000)) })
    #expect(failures.allSatisfy { $0?.kind == .protocolError }, "\(failures)")
  }

  @Test(arguments: beginnings) func theEnd(after beginning: [UInt8]) async throws {
    let failures = try await failures(Self.script(after: beginning) { $0.close() })
    #expect(failures.allSatisfy { $0 != nil && $0?.kind != .timedOut }, "\(failures)")
  }

  @Test(arguments: beginnings) func aReset(after beginning: [UInt8]) async throws {
    let failures = try await failures(Self.script(after: beginning) { $0.reset() })
    #expect(failures.allSatisfy { $0 != nil && $0?.kind != .timedOut }, "\(failures)")
  }

  @Test(arguments: beginnings) func silence(after beginning: [UInt8]) async throws {
    let failures = try await failures(Self.script(after: beginning) { _ in }, timeout: .milliseconds(100))
    #expect(failures.allSatisfy { $0?.kind == .timedOut || $0?.kind == .protocolError }, "\(failures)")
  }

  /// MySQL says so; it is no sign of bad health.
  @Test func aSessionThatIsEndedForBeingIdle() async throws {
    let ok: [UInt8] = [7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]
    let idle: [UInt8] = [9, 0, 0, 0, 0xff, 0xbf, 0x0f] + Array("#HY000".utf8)
    let greeting = Self.greeting
    let server = try await ScriptedServer { connection, event in
      switch event {
      case .accepted: connection.send(greeting)
      case .received(let bytes): if bytes.count > 20 { connection.send(ok) }
      }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.mysql(MySQLCheck(user: "a", tls: .disable)), at: server.address, interval: .seconds(3600))])
      try await checking.outcomes(atLeast: 1)
      server.forEachConnection {
        $0.send(idle)
        $0.close()
      }
      let outcomes = try await checking.outcomes(atLeast: 2)
      #expect(outcomes.allSatisfy { $0.isPass })
      #expect(server.counts.accepted == 2)
    }
    try await server.stop()
  }
}
