import Health
import Model
import Testing
import TestSupport

/// Against a real PostgreSQL with a certificate nobody knows.
@Suite(.serialized) struct PostgresTLSTests {
  private func check(
    _ user: String, _ password: String? = nil, depth: PostgresCheck.Depth = .role, tls: TLSMode
  ) -> HealthCheck.Kind {
    .postgres(PostgresCheck(user: user, password: password.map { Secret($0) }, depth: depth, tls: tls))
  }

  /// Probes once, and tells what came out and whether the session that is left is encrypted: `t`, `f`, or nothing.
  private func probe(_ kind: HealthCheck.Kind, of server: PostgresServer) async throws -> (outcome: ProbeOutcome, ssl: String) {
    let result = try await Checking.run { checking in
      checking.replace([ProbeTarget(kind, at: try server.address, interval: .seconds(3600))])
      let outcome = try await checking.outcomes(atLeast: 1)[0]
      let sessions = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'leba'"
      return (outcome, try await server.query(sessions))
    }
    try await eventually("the session ends") { try await server.probeSessions().isEmpty }
    return result
  }

  @Test func modes() async throws {
    let server = try await PostgresServer.primary()
    try await server.prepareAccess()
    for tls in [TLSMode.disable, .prefer] {
      let result = try await probe(check("leba", tls: tls), of: server)
      #expect(result.outcome.role == .primary && result.ssl == "f")
    }
    let none = try await probe(check("leba", tls: .require), of: server)
    #expect(none.outcome.failure == ProbeFailure(.badResponse, "TLS is required and the server does not offer it"))

    try await server.offerTLS(try await TestCertificate(for: "pg.test"))
    for (tls, isEncrypted) in [(TLSMode.disable, "f"), (.prefer, "t"), (.require, "t")] {
      for (user, password) in [("leba", nil), ("scram_user", "scram secret ü"), ("app_md5", "secret")] {
        let result = try await probe(check(user, password, tls: tls), of: server)
        #expect(result.outcome.role == .primary && result.ssl == isEncrypted, "\(tls) \(user) \(result)")
      }
    }
    // A password in the clear goes where nobody listens, and nowhere else.
    let secret = try await probe(check("clear_user", "clear secret", tls: .require), of: server)
    #expect(secret.outcome.role == .primary && secret.ssl == "t")
    let open = try await probe(check("clear_user", "clear secret", tls: .disable), of: server)
    #expect(open.outcome.failure?.kind == .authentication)
    let wrong = try await probe(check("scram_user", "wrong", tls: .prefer), of: server)
    #expect(
      wrong.outcome.failure?.description
        == "authentication: the password is refused, or there is no such user (the server does not say which): "
        + "password authentication failed for user \"scram_user\" [28P01]")
    let missing = try await probe(check("absent", tls: .prefer), of: server)
    #expect(
      missing.outcome.failure?.description
        == "authentication: no such user, or one that may not log in: role \"absent\" does not exist [28000]")
    // Neither was said twice.
    #expect(server.complaints.count { $0.contains("role \"absent\" does not exist") } == 1)
    // A unix socket is not encrypted, whatever is required.
    let socket = try await server.socket
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba", tls: .require), at: socket)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].role == .primary)
    }
  }

  /// A user whom pg_hba.conf lets in only in the clear, and one whom it lets in only encrypted.
  @Test func accessRulesAboutEncryption() async throws {
    let server = try await PostgresServer.primary()
    try await server.offerTLS(try await TestCertificate(for: "pg.test"))
    let rules = [
      "hostnossl all leba all trust", "hostssl all app all trust", "host all postgres all trust", "local all all trust",
    ]
    let file = try await server.query("SHOW hba_file")
    try await server.query("COPY (SELECT unnest(ARRAY['\(rules.joined(separator: "','"))'])) TO '\(file)'")
    try await server.query("SELECT pg_reload_conf()")
    try await eventually("the server has read its access rules") {
      try await server.query("SELECT count(*) FROM pg_hba_file_rules") == "\(rules.count)"
    }
    let fallen = try await probe(check("leba", tls: .prefer), of: server)
    #expect(fallen.outcome.role == .primary && fallen.ssl == "f", "\(fallen)")
    let encrypted = try await probe(check("app", tls: .prefer), of: server)
    #expect(encrypted.outcome.role == .primary && encrypted.ssl == "t")
    let refusals: [(HealthCheck.Kind, String)] = [
      (check("leba", tls: .require), "user \"leba\", database \"postgres\", SSL encryption [28000]"),
      (check("app", tls: .disable), "user \"app\", database \"postgres\", no encryption [28000]"),
      // Refused twice: the first time counts.
      (check("app_md5", tls: .prefer), "user \"app_md5\", database \"postgres\", SSL encryption [28000]"),
    ]
    for (kind, ending) in refusals {
      let failure = try await probe(kind, of: server).outcome.failure
      #expect(failure?.kind == .authentication)
      #expect(
        failure?.detail.hasPrefix("pg_hba.conf does not let us in: no pg_hba.conf entry for host \"127.0.0.1\", ") == true
          && failure?.detail.hasSuffix(ending) == true, "\(String(describing: failure))")
    }
  }

  /// Probes at depth `ssl_request` and `startup`, again and again, and not one line about them.
  @Test(arguments: [false, true]) func noLineInTheLog(offersTLS: Bool) async throws {
    let server = try await PostgresServer.primary()
    try await server.prepareAccess()
    if offersTLS { try await server.offerTLS(try await TestCertificate(for: "pg.test")) }
    let tcp = try server.address
    let before = server.complaints
    let modes: [TLSMode] = offersTLS ? [.disable, .prefer, .require] : [.disable, .prefer]
    var kinds = modes.map { check("nobody at all", depth: .sslRequest, tls: $0) }
    for user in ["leba", "scram_user"] { kinds += modes.map { check(user, depth: .startup, tls: $0) } }
    try await Checking.run { checking in
      checking.replace(kinds.enumerated().map { ProbeTarget($1, at: tcp, member: .test($0), interval: .seconds(3600)) })
      for round in 1...5 {
        for number in kinds.indices {
          let outcomes = try await checking.outcomes(of: .test(number), atLeast: round)
          #expect(outcomes.allSatisfy { $0.isPass && $0.role == nil }, "\(kinds[number]) \(outcomes)")
          if round < 5 { checking.checker.probeNow(.test(number)) }
        }
      }
    }
    try await eventually("the sessions end") { try await server.probeSessions().isEmpty }
    // The processes of connections that never became sessions are gone as well.
    let children = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    try await eventually("nobody is left") { try await server.query(children) == "0" }
    #expect(server.complaints == before)
  }

  @Test func crashOfAnEncryptedSessionIsSeenAtOnce() async throws {
    let server = try await PostgresServer.primary()
    try await server.offerTLS(try await TestCertificate(for: "pg.test"))
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba", tls: .require), at: try server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      try await server.killAll()
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect([.closed, .reset].contains(outcomes[1].failure?.kind), "\(outcomes)")
      #expect([.refused, .reset, .closed].contains(outcomes[2].failure?.kind), "\(outcomes)")
    }
  }

  @Test func shutdownOfAnEncryptedSession() async throws {
    let server = try await PostgresServer.primary()
    try await server.offerTLS(try await TestCertificate(for: "pg.test"))
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("leba", tls: .prefer), at: try server.address, interval: .seconds(3600))])
      try await checking.outcomes(until: "primary") { $0.role == .primary }
      try await server.stop()
      let outcomes = try await checking.outcomes(atLeast: 2)
      #expect(
        outcomes[1].failure
          == ProbeFailure(
            .closed, "the server ends the session: terminating connection due to administrator command [57P01]"))
    }
  }
}
