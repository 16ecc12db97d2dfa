import Health
import Model
import Testing
import TestSupport

/// Against a real MariaDB.
@Suite(.serialized, .enabled(if: MariaDBServer.isInstalled, "MariaDB is not installed")) struct MySQLProbeTests {
  private func kind(_ user: String? = nil, _ password: String? = nil) -> HealthCheck.Kind {
    .mysql(MySQLCheck(user: user, password: password.map { Secret($0) }))
  }

  private func server() async throws -> MariaDBServer {
    let server = try await MariaDBServer()
    try await server.query(
      """
      CREATE USER app IDENTIFIED BY 'secret ü'; CREATE USER open; CREATE USER locked IDENTIFIED BY 'x' ACCOUNT LOCK;
      CREATE USER elsewhere@'192.0.2.1' IDENTIFIED BY 'x';
      """)
    return server
  }

  @Test func everyKindOfAuthentication() async throws {
    let server = try await server()
    let outcomes = try await Checking.firstOutcomes(
      [
        kind(), kind("app", "secret ü"), kind("open"), kind("app", "wrong"), kind("app"), kind("absent", "x"), kind("locked", "x"),
        kind("elsewhere", "x"),
      ], at: .loopback(server.port))
    #expect(outcomes.prefix(3).allSatisfy { $0.isPass }, "\(outcomes)")
    #expect(
      outcomes.dropFirst(3).map { $0.failure?.description } == [
        "authentication: error 1045 (28000): Access denied for user 'app'@'127.0.0.1' (using password: YES)",
        "authentication: error 1045 (28000): Access denied for user 'app'@'127.0.0.1' (using password: NO)",
        "authentication: error 1045 (28000): Access denied for user 'absent'@'127.0.0.1' (using password: YES)",
        "authentication: error 4151 (HY000): Access denied, this account is locked",
        "authentication: error 1045 (28000): Access denied for user 'elsewhere'@'127.0.0.1' (using password: YES)",
      ])
    let socket = try await Checking.firstOutcomes([kind("app", "secret ü"), kind()], at: .unix(path: server.socket))
    #expect(socket.allSatisfy { $0.isPass })
  }

  /// What a server counts towards `max_connect_errors` is what it counts as aborted before authentication.
  @Test func noLoginIsBrokenOff() async throws {
    let server = try await server()
    let before = try await server.status("ABORTED_CONNECTS_PREAUTH")
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(kind(), at: .loopback(server.port), member: .test(0)),
        ProbeTarget(kind("app", "wrong"), at: .loopback(server.port), member: .test(1)),
        ProbeTarget(kind("app", "secret ü"), at: .loopback(server.port), member: .test(2)),
      ])
      for number in 0..<3 { try await checking.outcomes(of: .test(number), atLeast: 5) }
      #expect(checking.outcomes(of: .test(0)).allSatisfy { $0.isPass })
    }
    try await eventually("all sessions have ended") { try await server.status("THREADS_CONNECTED") == 1 }
    #expect(try await server.status("ABORTED_CONNECTS_PREAUTH") == before)
    #expect(try await server.status("ABORTED_CLIENTS") == 0)
  }

  @Test func oneSessionForAllProbes() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind("app", "secret ü"), at: .loopback(server.port))])
      let outcomes = try await checking.outcomes(atLeast: 5)
      #expect(outcomes.allSatisfy { $0.isPass })
      #expect(try await server.query("SELECT count(*) FROM information_schema.processlist WHERE user = 'app'") == "1")
    }
  }

  /// Long before the next probe is due.
  @Test func theDeathOfAServerIsKnownAtOnce() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind("app", "secret ü"), at: .loopback(server.port), interval: .seconds(3600))])
      try await checking.outcomes(atLeast: 1)
      try await server.kill()
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes[0].isPass)
      #expect([.closed, .reset].contains(outcomes[1].failure?.kind))
      // Whoever is quick meets the listener of the dying process.
      #expect([.refused, .reset, .closed].contains(outcomes[2].failure?.kind))
    }
  }

  @Test func aFullServerIsReportedAsThat() async throws {
    let server = try await server()
    try await server.query("SET GLOBAL max_connections = 10; SET GLOBAL extra_max_connections = 1")
    try await Checking.run { checking in
      checking.replace(
        (0..<14).map {
          ProbeTarget(kind("app", "secret ü"), at: .loopback(server.port), member: .test($0), interval: .seconds(3600))
        })
      var failures: [ProbeFailure] = []
      for number in 0..<14 {
        if let failure = try await checking.outcomes(of: .test(number), atLeast: 1)[0].failure { failures.append(failure) }
      }
      #expect(!failures.isEmpty)
      #expect(failures.allSatisfy { $0.kind == .badResponse && $0.detail.contains("error 1040") }, "\(failures)")
    }
  }

  @Test func aFrozenServerTimesOutAndRecovers() async throws {
    let server = try await server()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind("app", "secret ü"), at: .loopback(server.port), timeout: .milliseconds(200))])
      try await checking.outcomes(until: "a pass") { $0.isPass }
      server.freeze()
      try await checking.outcomes(until: "silence") { $0.failure?.kind == .timedOut }
      let count = checking.outcomes().count
      server.thaw()
      try await eventually("a pass again") { checking.outcomes().dropFirst(count).contains { $0.isPass } }
    }
  }
}
