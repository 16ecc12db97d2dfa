import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// A PostgreSQL primary with a streaming standby, found by DNS, whose roles are asked for.
  @Suite(.serialized) struct PostgresTests {
    /// Both servers on one port of two addresses, and a sidecar in front of them.
    struct Cluster {
      let first: PostgresServer
      let second: PostgresServer
      let dns: KnotServer
      var leba: LebaProcess
      let listener: Endpoint
      var firstID: String { "primary-db.example.test:\(first.endpoint)" }
      var secondID: String { "replica-db.example.test:\(second.endpoint)" }

      init(user: String = "user: leba", settings: String = "") async throws {
        first = try await PostgresServer.primary(host: "127.0.0.2")
        second = try await first.standby(host: "127.0.0.3")
        dns = try await KnotServer(.a("primary-db", "127.0.0.2"), .a("replica-db", "127.0.0.3"))
        listener = .ip("127.0.0.1", try FreePorts.next())
        leba = try await LebaProcess.start(
          """
          listeners: [{name: pg, address: "\(listener)", group: postgres-cluster}]
          \(EndToEnd.resolver(dns))
          dns_backends:
            - {domain: primary-db.example.test, protocol: postgres, port: \(first.port), is_primary: true, group_name: postgres-cluster}
            - {domain: replica-db.example.test, protocol: postgres, port: \(first.port), is_primary: false, group_name: postgres-cluster}
          failover_groups:
            - name: postgres-cluster
              mode: active-passive
              hold_timeout: 1m
              minimum_interval: 0s
              health_check: {type: postgres, postgres: {\(user), depth: role}}
          """)
        try await leba.untilPrimary(of: "postgres-cluster", is: firstID)
        try await eventually("the standby is known as one") { try await role(of: secondID) == "replica" }
      }

      func group() async throws -> Group { try await leba.group("postgres-cluster") }
      func role(of id: String) async throws -> String? { try await group().backend(id)["role"].string }

      func held() async throws -> Double {
        try await leba.metrics().value("leba_connections_held", ["group": "postgres-cluster"]) ?? 0
      }

      /// Sessions of the writers that this server has let in, by its own log.
      func applicationSessions(of server: PostgresServer) -> Int {
        server.log.split(separator: "\n").count { $0.contains("connection authorized: user=app ") }
      }

      /// Where new sessions arrive.
      func portOfNewSession() async throws -> String? {
        let listener = listener
        return try await onOwnThread { try PostgresSession(to: listener).query("SELECT host(inet_server_addr())").first }
      }
    }

    @Test func `the promotion of the standby is followed, nothing is sent to it before, and the old primary stays a backup`()
      async throws
    {
      let cluster = try await Cluster()
      let writers = PostgresWriters(to: cluster.listener, clients: 4)
      try await writers.moreWrites(100)

      try await cluster.first.killAll()
      try await eventually("all writers are held") { try await cluster.held() == 4 }
      let atTheLoss = writers.report
      // The data path holds a refused connection before the probes have their verdict.
      try await eventually("the group holds") { try await cluster.group().state == "holding" }
      // Healthy, reachable, and not to be written to.
      #expect(try await cluster.role(of: cluster.secondID) == "replica")
      #expect(cluster.applicationSessions(of: cluster.second) == 0)

      try await cluster.second.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      try await writers.moreWrites(100)
      #expect(cluster.applicationSessions(of: cluster.second) >= 1)

      try await cluster.first.rejoin(cluster.second)
      try await cluster.leba.untilReplica(cluster.firstID, in: "postgres-cluster")
      try await writers.moreWrites(100)
      let group = try await cluster.group()
      #expect(group.primary == cluster.secondID)
      #expect(group.failoverCount == 1)
      #expect(cluster.applicationSessions(of: cluster.first) == 4)

      Self.expectNothingWorse(try await writers.stop(), than: atTheLoss)
      #expect(try await cluster.second.query("SELECT pg_is_in_recovery()") == "f")
    }

    /// One error for each of the four sessions that were open at the loss, or were being opened; none once they were held.
    private static func expectNothingWorse(_ report: PostgresWriters.Report, than atTheLoss: PostgresWriters.Report) {
      #expect(atTheLoss.sessionFailures.count <= 4, "\(atTheLoss.sessionFailures)")
      #expect(atTheLoss.refused.count <= 4, "\(atTheLoss.refused)")
      #expect(report.sessionFailures.count == atTheLoss.sessionFailures.count, "\(report.sessionFailures)")
      #expect(report.refused.count == atTheLoss.refused.count, "\(report.refused)")
      #expect(report.readOnlyErrors == [])
    }

    @Test func `a session that arrives without a primary waits for the promotion`() async throws {
      let cluster = try await Cluster()
      try await cluster.first.killAll()
      try await eventually("the group holds") { try await cluster.group().state == "holding" }

      let waiting = Task { try await cluster.portOfNewSession() }
      try await eventually("the session is held") { try await cluster.held() == 1 }
      try await cluster.second.promote()
      #expect(try await waiting.value == cluster.second.host)
      #expect(cluster.applicationSessions(of: cluster.second) == 1)
    }

    @Test func `a frozen primary loses its sessions, and does not get them back when it thaws`() async throws {
      let cluster = try await Cluster()
      let writers = PostgresWriters(to: cluster.listener, clients: 4)
      try await writers.moreWrites(100)

      cluster.first.freeze()
      try await eventually("all writers are held") { try await cluster.held() == 4 }
      let atTheLoss = writers.report
      try await cluster.second.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      try await writers.moreWrites(100)

      // It wakes up still believing itself to be the primary: two are writable now, and the current one is kept.
      let sessionsBefore = cluster.applicationSessions(of: cluster.first)
      cluster.first.thaw()
      try await eventually("both are writable") { try await cluster.role(of: cluster.firstID) == "primary" }
      try await eventually("the alarm is recorded") {
        try await cluster.leba.events(of: "postgres-cluster").contains { $0["kind"].string == "two_writable" }
      }
      try await writers.moreWrites(100)
      #expect(try await cluster.group().primary == cluster.secondID)
      #expect(try await cluster.group().failoverCount == 1)
      #expect(cluster.applicationSessions(of: cluster.first) == sessionsBefore)

      Self.expectNothingWorse(try await writers.stop(), than: atTheLoss)
    }

    @Test func `planned switches there and back lose no writer for good`() async throws {
      let cluster = try await Cluster()
      let writers = PostgresWriters(to: cluster.listener, clients: 4)
      try await writers.moreWrites(50)
      // A planned switch: stop, promote the other, come back as its standby.
      try await cluster.first.stop()
      try await cluster.second.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      try await writers.moreWrites(50)
      try await cluster.first.rejoin(cluster.second)
      try await cluster.leba.untilReplica(cluster.firstID, in: "postgres-cluster")

      // And back again.
      try await cluster.second.stop()
      try await cluster.first.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.firstID)
      try await writers.moreWrites(50)
      let report = try await writers.stop()
      // A server that shuts down takes new sessions for a moment only to refuse them in its own words, or to break them. To hide
      // that, the data path would have to speak PostgreSQL.
      #expect(report.refused.allSatisfy { $0.sqlState == "57P03" || $0.isBroken }, "\(report.refused)")
      #expect(report.readOnlyErrors == [])
      // Each of the two switches ends the four sessions once.
      #expect(report.sessionFailures.count <= 8, "\(report.sessionFailures)")
      #expect(try await cluster.group().failoverCount == 2)
    }

    @Test(arguments: ["app_md5", "app_scram"])
    func `probes and clients authenticate with a password`(user: String) async throws {
      let secrets = try TemporaryDirectory()
      let passwordFile = try secrets.write("secret\n", to: "password")
      chmod(passwordFile, 0o600)
      let cluster = try await Cluster(user: "user: \(user), password_file: \(passwordFile)")
      let answer = try await mustRun(
        "psql",
        ["-X", "-A", "-t", "-h", "127.0.0.1", "-p", "\(cluster.listener.port)", "-U", user, "-d", "postgres", "-c", "SELECT 'in'"],
        environment: ["PGPASSWORD": "secret"])
      #expect(answer == "in\n")
      #expect(!cluster.leba.log.contains("secret"))
    }

    @Test func `a probe whose password is wrong proves nothing, and says so`() async throws {
      let server = try await PostgresServer.primary(host: "127.0.0.2")
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: pg, address: "127.0.0.1:\(try FreePorts.next())", group: pg}]
        backends: [{id: db1, address: 127.0.0.2, port: \(server.port), protocol: postgres}]
        failover_groups:
          - name: pg
            mode: active-passive
            backends: [db1]
            primary: db1
            health_check: {type: postgres, postgres: {user: app_scram, password: wrong, depth: role}}
        """)
      try await eventually("the server is down for us, with the reason") {
        let backend = try await leba.group("pg").backend("db1")
        return backend["health"].string == "down" && backend["reason"].string?.contains("authentication") == true
      }
      #expect(!leba.log.contains("wrong"))
    }
  }
}

extension LebaProcess {
  /// A standby that works is up and says what it is.
  func untilReplica(_ id: String, in name: String) async throws {
    try await eventually("\(id) is a healthy replica") {
      let backend = try await group(name).backend(id)
      return backend["health"].string == "up" && backend["role"].string == "replica"
    }
  }
}
