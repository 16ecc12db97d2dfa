import Foundation
import Health
import Model
import Testing
import TestSupport

/// Against a real PostgreSQL 15. Each test has a cluster of its own, or reads one without changing it.
@Suite(.serialized) struct PostgresClusterTests {
  private func tcp(_ cluster: PostgresCluster) -> Model.SocketAddress { .ip(.v4(0x7f00_0001), port: cluster.port) }

  private func check(
    _ user: String, _ password: String? = nil, database: String = "postgres", depth: PostgresCheck.Depth = .role
  ) -> HealthCheck.Kind {
    .postgres(PostgresCheck(user: user, password: password.map { Secret($0) }, database: database, depth: depth))
  }

  /// The first outcome for each of several ways of asking.
  private func outcomes(_ cases: [(HealthCheck.Kind, Model.SocketAddress)]) async throws -> [ProbeOutcome] {
    try await Checking.run { checking in
      checking.checker.apply(
        cases.enumerated().map { ProbeTarget($1.0, at: $1.1, member: .test($0), interval: .seconds(3600)) })
      var outcomes: [ProbeOutcome] = []
      for number in cases.indices { outcomes.append(try await checking.outcomes(of: .test(number), atLeast: 1)[0]) }
      return outcomes
    }
  }

  @Test func everyKindOfAuthentication() async throws {
    let cluster = try await PostgresCluster.primary()
    let (tcp, unix) = (tcp(cluster), Model.SocketAddress.unix(path: cluster.socketPath))
    let good = try await outcomes([
      (check("trusted"), tcp), (check("md5_user", "md5 secret"), tcp), (check("scram_user", "scram secret ü"), tcp),
      (check("trusted"), unix), (check("scram_user", "scram secret ü"), unix), (check("clear_user", "clear secret"), unix),
    ])
    #expect(good.map(\.role) == Array(repeating: .primary, count: 6), "\(good)")

    let bad = try await outcomes([
      (check("md5_user", "wrong"), tcp), (check("scram_user", "wrong"), tcp), (check("scram_user"), tcp),
      (check("clear_user", "clear secret"), tcp), (check("absent"), tcp), (check("absent_with_password", "x"), tcp),
      (check("nobody_lets_in"), tcp), (check("trusted", database: "absent"), tcp), (check("limited"), tcp),
    ])
    let expected = [
      "authentication: FATAL 28P01: password authentication failed for user \"md5_user\"",
      "authentication: FATAL 28P01: password authentication failed for user \"scram_user\"",
      "authentication: the server asks for a password and none is configured",
      "authentication: the server asks for the password in the clear over an unencrypted connection",
      "authentication: FATAL 28000: role \"absent\" does not exist",
      "authentication: FATAL 28P01: password authentication failed for user \"absent_with_password\"",
      "authentication: FATAL 28000: pg_hba.conf rejects connection for host \"127.0.0.1\", user \"nobody_lets_in\","
        + " database \"postgres\", no encryption",
      "authentication: FATAL 3D000: database \"absent\" does not exist",
      "bad_response: FATAL 53300: too many connections for role \"limited\"",
    ]
    #expect(bad.map { $0.failure?.description } == expected)
  }

  @Test func startupDepth() async throws {
    let cluster = try await PostgresCluster.primary()
    let tcp = tcp(cluster)
    let before = cluster.log
    let quiet = ["trusted", "md5_user", "scram_user", "absent_with_password", "clear_user"]
    try await Checking.run { checking in
      checking.checker.apply(
        quiet.enumerated().map { ProbeTarget(check($1, depth: .startup), at: tcp, member: .test($0)) })
      for number in quiet.indices {
        let outcomes = try await checking.outcomes(of: .test(number), atLeast: 5)
        #expect(outcomes.allSatisfy { $0.isPass && $0.role == nil }, "\(quiet[number]) \(outcomes)")
      }
    }
    // No session is left, and none has cost the server's log a line.
    try await eventually("the sessions end") { try await cluster.sessions().isEmpty }
    #expect(cluster.log == before)

    // Refused by name, which takes a server that has started.
    let refused = try await outcomes([
      (check("absent", depth: .startup), tcp), (check("nobody_lets_in", depth: .startup), tcp),
      (check("trusted", database: "absent", depth: .startup), tcp),
    ])
    #expect(refused.map(\.isPass) == [true, true, true])
    // The log is not empty because it could not be.
    #expect(cluster.log.contains("role \"absent\" does not exist"))
  }

  @Test func standbyIsPromoted() async throws {
    let primary = try await PostgresCluster.primary()
    let standby = try await primary.standby()
    try await standby.waitUntilReady()
    try await Checking.run { checking in
      checking.checker.apply([
        ProbeTarget(check("trusted"), at: tcp(primary), member: .test(1)),
        ProbeTarget(check("scram_user", "scram secret ü"), at: tcp(standby), member: .test(2)),
      ])
      try await checking.outcomes(of: .test(1), until: "primary") { $0.role == .primary }
      let before = try await checking.outcomes(of: .test(2), until: "replica") { $0.role == .replica }
      #expect(before.allSatisfy { $0.role == .replica })
      let sessions = try await standby.sessions()
      #expect(sessions.count == 1)
      try await standby.promote()
      let outcomes = try await checking.outcomes(of: .test(2), until: "primary") { $0.role == .primary }
      // Not one failure on the way, and no going back.
      #expect(outcomes.allSatisfy { $0.isPass })
      #expect(outcomes.filter { $0.role == .primary }.count == 1)
      // The same session all the time.
      #expect(try await standby.sessions() == sessions)
      #expect(checking.outcomes(of: .test(1)).allSatisfy { $0.role == .primary })
    }
    try await eventually("the sessions end") { try await standby.sessions().isEmpty }
    #expect(!standby.log.contains("unexpected EOF"))
  }

  /// The interval is an hour: only the kept session can tell.
  @Test func crashIsSeenAtOnce() async throws {
    let cluster = try await PostgresCluster.primary()
    try await Checking.run { checking in
      checking.checker.apply([ProbeTarget(check("trusted"), at: tcp(cluster), interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      cluster.postmaster.signal(SIGKILL)
      let outcomes = try await checking.outcomes(atLeast: 3)
      let kinds = outcomes.dropFirst().map { $0.failure?.kind }
      #expect([.closed, .reset].contains(kinds[0]))
      #expect(kinds[1] == .refused)
    }
  }

  @Test func fastShutdownIsSeenAtOnce() async throws {
    let cluster = try await PostgresCluster.primary()
    try await Checking.run { checking in
      checking.checker.apply([ProbeTarget(check("trusted"), at: tcp(cluster), interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      cluster.postmaster.signal(SIGINT)
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(
        outcomes[1].failure?.description == "closed: FATAL 57P01: terminating connection due to administrator command")
      // Still shutting down, or down.
      let second = try #require(outcomes[2].failure)
      #expect(second.kind == .refused || second.detail.contains("57P03"), "\(second)")
    }
  }

  @Test func oneSessionEndedByAnAdministratorIsReplaced() async throws {
    let cluster = try await PostgresCluster.primary()
    try await Checking.run { checking in
      checking.checker.apply([ProbeTarget(check("trusted"), at: tcp(cluster), interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      let sessions = try await cluster.sessions()
      try await cluster.sql("SELECT pg_terminate_backend(\(sessions[0]))")
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes[1].failure?.kind == .closed)
      #expect(outcomes[2].role == .primary)
      let replaced = try await cluster.sessions()
      #expect(replaced.count == 1 && replaced != sessions)
    }
  }

  @Test func frozenServerTimesOut() async throws {
    let cluster = try await PostgresCluster.primary()
    try await Checking.run { checking in
      checking.checker.apply([ProbeTarget(check("trusted"), at: tcp(cluster), timeout: .milliseconds(500))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      cluster.postmaster.signalTree(SIGSTOP)
      let outcomes = try await checking.outcomes(atLeast: checking.outcomes().count + 2)
      #expect(outcomes.suffix(2).contains { $0.failure?.kind == .timedOut })
      cluster.postmaster.signalTree(SIGCONT)
      let count = checking.outcomes().count
      try await eventually("primary again") { checking.outcomes().dropFirst(count).contains { $0.role == .primary } }
      try await eventually("one session is left") { try await cluster.sessions().count == 1 }
    }
  }

  @Test func serverThatTakesNoSessionsYet() async throws {
    let primary = try await PostgresCluster.primary()
    let standby = try await primary.standby(settings: ["hot_standby": "off"])
    try await Checking.run { checking in
      checking.checker.apply([
        ProbeTarget(check("trusted", depth: .startup), at: tcp(standby), member: .test(1)),
        ProbeTarget(check("trusted"), at: tcp(standby), member: .test(2)),
      ])
      for member in [MemberKey.test(1), .test(2)] {
        let outcomes = try await checking.outcomes(of: member, until: "57P03") { $0.failure?.detail.contains("57P03") == true }
        #expect(!outcomes.contains { $0.isPass })
      }
    }
  }
}
