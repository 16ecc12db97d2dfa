import Foundation
import Health
import Model
import Testing
import TestSupport

/// Against a real PostgreSQL. Each test has a server of its own.
@Suite(.serialized) struct PostgresServerTests {
  private func check(
    _ user: String, _ password: String? = nil, database: String = "postgres", depth: PostgresCheck.Depth = .role
  ) -> HealthCheck.Kind {
    .postgres(PostgresCheck(user: user, password: password.map { Secret($0) }, database: database, depth: depth))
  }

  /// The first outcome for each of several ways of asking.
  private func outcomes(_ cases: [(HealthCheck.Kind, Model.SocketAddress)]) async throws -> [ProbeOutcome] {
    try await Checking.run { checking in
      checking.replace(
        cases.enumerated().map { ProbeTarget($1.0, at: $1.1, member: .test($0), interval: .seconds(3600)) })
      var outcomes: [ProbeOutcome] = []
      for number in cases.indices { outcomes.append(try await checking.outcomes(of: .test(number), atLeast: 1)[0]) }
      return outcomes
    }
  }

  @Test func everyKindOfAuthentication() async throws {
    let server = try await PostgresServer.primary()
    try await server.prepareAccess()
    let (tcp, unix) = (try server.address, try await server.socket)
    let good = try await outcomes([
      (check("leba"), tcp), (check("app_md5", "secret"), tcp), (check("scram_user", "scram secret ü"), tcp),
      (check("leba"), unix), (check("scram_user", "scram secret ü"), unix), (check("clear_user", "clear secret"), unix),
    ])
    #expect(good.map(\.role) == Array(repeating: .primary, count: 6), "\(good)")

    let bad = try await outcomes([
      (check("app_md5", "wrong"), tcp), (check("scram_user", "wrong"), tcp), (check("scram_user"), tcp),
      (check("clear_user", "clear secret"), tcp), (check("absent"), tcp), (check("absent_with_password", "x"), tcp),
      (check("nobody_lets_in"), tcp), (check("leba", database: "absent"), tcp), (check("limited"), tcp),
    ])
    let expected = [
      "authentication: the password is refused, or there is no such user (the server does not say which): password authentication failed for user \"app_md5\" [28P01]",
      "authentication: the password is refused, or there is no such user (the server does not say which): password authentication failed for user \"scram_user\" [28P01]",
      "authentication: the server asks for a password and none is configured",
      "authentication: the server asks for the password in the clear over an unencrypted connection",
      "authentication: no such user, or one that may not log in: role \"absent\" does not exist [28000]",
      "authentication: the password is refused, or there is no such user (the server does not say which): password authentication failed for user \"absent_with_password\" [28P01]",
      "authentication: pg_hba.conf does not let us in: pg_hba.conf rejects connection for host \"127.0.0.1\", user \"nobody_lets_in\","
        + " database \"postgres\", no encryption [28000]",
      "authentication: no such database: database \"absent\" does not exist [3D000]",
      "bad_response: no connection is free: too many connections for role \"limited\" [53300]",
    ]
    #expect(bad.map { $0.failure?.description } == expected)
  }

  @Test func startupDepth() async throws {
    let server = try await PostgresServer.primary()
    try await server.prepareAccess()
    let tcp = try server.address
    let before = server.complaints
    let quiet = ["leba", "app_md5", "scram_user", "absent_with_password", "clear_user"]
    try await Checking.run { checking in
      // Each probe is asked for, so that none is cut short at the end.
      checking.replace(
        quiet.enumerated().map { ProbeTarget(check($1, depth: .startup), at: tcp, member: .test($0), interval: .seconds(3600)) })
      for round in 1...5 {
        for number in quiet.indices {
          let outcomes = try await checking.outcomes(of: .test(number), atLeast: round)
          #expect(outcomes.allSatisfy { $0.isPass && $0.role == nil }, "\(quiet[number]) \(outcomes)")
          if round < 5 { checking.checker.probeNow(.test(number)) }
        }
      }
    }
    // No session is left, and none has cost the server's log a line.
    try await eventually("the sessions end") { try await server.probeSessions().isEmpty }
    #expect(server.complaints == before)

    // Refused by name, which takes a server that has started.
    let refused = try await outcomes([
      (check("absent", depth: .startup), tcp), (check("nobody_lets_in", depth: .startup), tcp),
      (check("leba", database: "absent", depth: .startup), tcp),
    ])
    #expect(refused.map(\.isPass) == [true, true, true])
    // The complaints are not missing because they would not be seen.
    #expect(server.complaints.contains { $0.contains("role \"absent\" does not exist") })
  }

  @Test func standbyIsPromoted() async throws {
    let primary = try await PostgresServer.primary()
    let standby = try await primary.standby(host: "127.0.0.2")
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(check("leba"), at: try primary.address, member: .test(1)),
        ProbeTarget(check("app_scram", "secret"), at: try standby.address, member: .test(2)),
      ])
      try await checking.outcomes(of: .test(1), until: "primary") { $0.role == .primary }
      let before = try await checking.outcomes(of: .test(2), until: "replica") { $0.role == .replica }
      #expect(before.allSatisfy { $0.role == .replica })
      let sessions = try await standby.probeSessions()
      #expect(sessions.count == 1)
      try await standby.promote()
      try await checking.outcomes(of: .test(2), until: "primary") { $0.role == .primary }
      // Not one failure on the way, and no going back.
      let roles = checking.outcomes(of: .test(2)).map(\.role)
      #expect(roles.drop { $0 == .replica }.allSatisfy { $0 == .primary }, "\(roles)")
      // The same session all the time.
      let after = try await standby.probeSessions()
      #expect(after == sessions)
      #expect(checking.outcomes(of: .test(1)).allSatisfy { $0.role == .primary })
    }
    try await eventually("the sessions end") { try await standby.probeSessions().isEmpty }
  }

  /// The interval is an hour: only the kept session can tell. The postmaster alone dies, or all of the server at once.
  @Test(arguments: [false, true]) func crashIsSeenAtOnce(whole: Bool) async throws {
    let server = try await PostgresServer.primary()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba"), at: try server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      if whole { try await server.killAll() } else { kill(try await server.postmaster, SIGKILL) }
      let outcomes = try await checking.outcomes(atLeast: 3)
      let kinds = outcomes.dropFirst().map { $0.failure?.kind }
      #expect([.closed, .reset].contains(kinds[0]))
      // The kernel takes a server apart piece by piece: the listening socket may outlive the session by a moment.
      #expect([.refused, .reset].contains(kinds[1]))
      checking.checker.probeNow(.test)
      try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
    }
  }

  @Test func fastShutdownIsSeenAtOnce() async throws {
    let server = try await PostgresServer.primary()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba"), at: try server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      try await server.stop()
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(
        outcomes[1].failure?.description
          == "closed: the server ends the session: terminating connection due to administrator command [57P01]")
      // Still shutting down, or down.
      let second = try #require(outcomes[2].failure)
      #expect(second.kind == .refused || second.detail.contains("57P03"), "\(second)")
    }
  }

  @Test func oneSessionEndedByAnAdministratorIsReplaced() async throws {
    let server = try await PostgresServer.primary()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba"), at: try server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      let sessions = try await server.probeSessions()
      try await server.query("SELECT pg_terminate_backend(\(sessions[0]))")
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes[1].failure?.kind == .closed)
      #expect(outcomes[2].role == .primary)
      let replaced = try await server.probeSessions()
      #expect(replaced.count == 1 && replaced != sessions)
    }
  }

  @Test func frozenServerTimesOut() async throws {
    let server = try await PostgresServer.primary()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba"), at: try server.address, timeout: .milliseconds(500))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      server.freeze()
      let outcomes = try await checking.outcomes(atLeast: checking.outcomes().count + 2)
      #expect(outcomes.suffix(2).contains { $0.failure?.kind == .timedOut })
      server.thaw()
      let count = checking.outcomes().count
      try await eventually("primary again") { checking.outcomes().dropFirst(count).contains { $0.role == .primary } }
      try await eventually("one session is left") { try await server.probeSessions().count == 1 }
    }
  }

  /// A smart shutdown lets sessions go on and takes no new ones.
  @Test func serverThatTakesNoNewSessions() async throws {
    let server = try await PostgresServer.primary()
    try await Checking.run { checking in
      let kept = ProbeTarget(check("leba"), at: try server.address, member: .test(1))
      checking.replace([kept])
      try await checking.outcomes(of: .test(1), until: "primary") { $0.role == .primary }
      kill(try await server.postmaster, SIGTERM)
      checking.replace([
        kept, ProbeTarget(check("leba", depth: .startup), at: try server.address, member: .test(2)),
        ProbeTarget(check("leba"), at: try server.address, member: .test(3)),
      ])
      for member in [MemberKey.test(2), .test(3)] {
        try await checking.outcomes(of: member, until: "57P03") {
          $0.failure == ProbeFailure(.badResponse, "the server takes no sessions now: the database system is shutting down [57P03]")
        }
      }
      let count = checking.outcomes(of: .test(1)).count
      let later = try await checking.outcomes(of: .test(1), atLeast: count + 3)
      #expect(later.allSatisfy { $0.role == .primary })
    }
  }
}
