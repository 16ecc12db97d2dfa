import Health
import Model
import Testing
import TestSupport

/// Against a real Redis.
@Suite(.serialized, .enabled(if: RedisServer.isInstalled, "redis-server is not installed")) struct RedisProbeTests {
  private func kind(_ user: String? = nil, _ password: String? = nil) -> HealthCheck.Kind {
    .redis(RedisCheck(user: user, password: password.map { Secret($0) }))
  }

  @Test func everyKindOfAuthentication() async throws {
    let server = try await RedisServer(password: "default secret")
    let outcomes = try await Checking.firstOutcomes(
      [
        kind(nil, "default secret"), kind("prober", "secret"), kind(), kind(nil, "wrong"), kind("prober", "wrong"),
        kind("absent", "secret"),
      ], at: .loopback(server.port))
    #expect(outcomes[0].isPass && outcomes[1].isPass, "\(outcomes)")
    let wrong = "authentication: WRONGPASS invalid username-password pair or user is disabled."
    #expect(
      outcomes.dropFirst(2).map { $0.failure?.description } == [
        "authentication: NOAUTH Authentication required.", wrong, wrong, wrong,
      ])
    let socket = try await Checking.firstOutcomes([kind(nil, "default secret")], at: .unix(path: server.socket))
    #expect(socket[0].isPass)
  }

  @Test func aPasswordWhereThereIsNone() async throws {
    let server = try await RedisServer()
    let outcomes = try await Checking.firstOutcomes([kind(), kind(nil, "x")], at: .loopback(server.port))
    #expect(outcomes[0].isPass)
    #expect(outcomes[1].failure?.kind == .authentication)
    #expect(outcomes[1].failure?.detail.contains("without any password configured") == true, "\(outcomes)")
  }

  @Test func oneSessionForAllProbes() async throws {
    let server = try await RedisServer()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind(), at: .loopback(server.port))])
      try await checking.outcomes(atLeast: 5)
      let clients = try await server.command("CLIENT", "LIST", "TYPE", "normal").split(separator: "\n")
      #expect(clients.count { $0.contains("127.0.0.1:\(server.port)") } == 1, "\(clients)")
    }
  }

  /// Long before the next probe is due.
  @Test func theDeathOfAServerIsKnownAtOnce() async throws {
    let server = try await RedisServer()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind(), at: .loopback(server.port), interval: .seconds(3600))])
      try await checking.outcomes(atLeast: 1)
      try await server.kill()
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes[0].isPass)
      #expect([.closed, .reset].contains(outcomes[1].failure?.kind))
      // Whoever is quick meets the listener of the dying process.
      #expect([.refused, .reset, .closed].contains(outcomes[2].failure?.kind))
    }
  }

  @Test func aFrozenServerTimesOutAndRecovers() async throws {
    let server = try await RedisServer()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind(), at: .loopback(server.port), timeout: .milliseconds(100))])
      try await checking.outcomes(until: "a pass") { $0.isPass }
      server.freeze()
      try await checking.outcomes(until: "silence") { $0.failure?.description == "timed_out: no answer to PING within 100ms" }
      let count = checking.outcomes().count
      server.thaw()
      try await eventually("a pass again") { checking.outcomes().dropFirst(count).contains { $0.isPass } }
    }
  }

  @Test func aFullServerIsNotTakenForADeniedOne() async throws {
    let server = try await RedisServer()
    try await server.command("CONFIG", "SET", "maxclients", "1")
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(kind(), at: .loopback(server.port), member: .test(0), interval: .seconds(3600)),
        ProbeTarget(kind(), at: .loopback(server.port), member: .test(1), interval: .seconds(3600)),
      ])
      let both = [
        try await checking.outcomes(of: .test(0), atLeast: 1)[0], try await checking.outcomes(of: .test(1), atLeast: 1)[0],
      ]
      #expect(both.compactMap(\.failure).map(\.description) == ["bad_response: ERR max number of clients reached"])
    }
  }
}
