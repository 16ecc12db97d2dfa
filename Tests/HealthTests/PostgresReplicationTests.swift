import Health
import Model
import Testing
import TestSupport

/// Timeline and lag, as a user without any rights sees them.
@Suite(.serialized) struct PostgresReplicationTests {
  private let kind = HealthCheck.Kind.postgres(PostgresCheck(user: "leba", depth: .role))

  @Test func primaryAndStandby() async throws {
    let primary = try await PostgresServer.primary()
    let standby = try await primary.standby(host: "127.0.0.2")
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(kind, at: try primary.address, member: .test(1)), ProbeTarget(kind, at: try standby.address, member: .test(2)),
      ])
      let first = try await checking.outcomes(of: .test(1), atLeast: 1)
      #expect(first[0].role == .primary)
      #expect(first[0].replication == Replication(timeline: 1))
      // However long the primary has been idle.
      try await primary.query("CREATE TABLE seen (id int)")
      let caughtUp = Replication(timeline: 1, lagTime: .zero, lagBytes: 0)
      try await checking.outcomes(of: .test(2), until: "caught up") { $0.role == .replica && $0.replication == caughtUp }

      try await eventually("the standby has the table") {
        try await standby.query("SELECT count(*) FROM pg_class WHERE relname = 'seen'") == "1"
      }
      try await standby.query("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
      try await standby.query("SELECT pg_reload_conf()")
      try await eventually("the standby waits") { try await standby.query("SHOW recovery_min_apply_delay") == "1h" }
      // The delay is before a commit: the rest of the first transaction is replayed, all of the second is not.
      for _ in 1...2 { try await primary.query("INSERT INTO writes (note) SELECT 'late' FROM generate_series(1, 1000)") }
      try await checking.outcomes(of: .test(2), until: "late") {
        guard let replication = $0.replication, let time = replication.lagTime, let bytes = replication.lagBytes else {
          return false
        }
        return time > .zero && bytes > 10_000
      }
      // It grows as long as nothing is replayed.
      try await checking.outcomes(of: .test(2), until: "later") { ($0.replication?.lagTime ?? .zero) > .seconds(1) }

      try await standby.query("ALTER SYSTEM RESET recovery_min_apply_delay")
      try await standby.query("SELECT pg_reload_conf()")
      let count = checking.outcomes(of: .test(2)).count
      try await eventually("caught up again") {
        checking.outcomes(of: .test(2)).dropFirst(count).contains { $0.replication == caughtUp }
      }

      try await standby.promote()
      let after = try await checking.outcomes(of: .test(2), until: "primary") { $0.role == .primary }
      #expect(after.last?.replication == Replication(timeline: 2))
      #expect(checking.outcomes(of: .test(1)).last?.replication == Replication(timeline: 1))
      #expect(checking.outcomes(of: .test(2)).allSatisfy { $0.isPass })
    }
  }

  /// Where even these functions are taken away, the role is still known, and nothing fails.
  @Test func functionsThatAreNotOurs() async throws {
    let server = try await PostgresServer.primary()
    try await server.query("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn), pg_control_checkpoint() FROM PUBLIC")
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind, at: try server.address)])
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(outcomes.allSatisfy { $0.role == .primary && $0.replication == Replication() }, "\(outcomes)")
      let sessions = try await server.probeSessions()
      #expect(sessions.count == 1)
    }
    // Said once, not with each probe.
    #expect(server.complaints.count { $0.contains("permission denied") } == 1)
  }

  /// A standby that follows another primary says so to those who may know, and never more than the truth to the others.
  @Test func timelineOfAFollower() async throws {
    let primary = try await PostgresServer.primary()
    let second = try await primary.standby(host: "127.0.0.2")
    let third = try await primary.standby(host: "127.0.0.3")
    try await primary.query("CREATE USER watcher; GRANT pg_monitor TO watcher")
    try await eventually("the third has the user") {
      try await third.query("SELECT count(*) FROM pg_roles WHERE rolname = 'watcher'") == "1"
    }
    try await primary.killAll()
    try await second.promote()
    try await third.query(
      "ALTER SYSTEM SET primary_conninfo = 'host=\(second.host) port=\(second.port) user=postgres dbname=postgres'")
    try await third.query("SELECT pg_reload_conf()")
    try await Checking.run { checking in
      let watcher = HealthCheck.Kind.postgres(PostgresCheck(user: "watcher", depth: .role))
      checking.replace([
        ProbeTarget(watcher, at: try third.address, member: .test(1)), ProbeTarget(kind, at: try third.address, member: .test(2)),
      ])
      try await checking.outcomes(of: .test(1), until: "the second timeline") { $0.replication?.timeline == 2 }
      let plain = try await checking.outcomes(of: .test(2), atLeast: 1)
      #expect(plain.allSatisfy { [1, 2].contains($0.replication?.timeline) }, "\(plain)")
    }
  }
}

extension ProbeOutcome {
  fileprivate var replication: Replication? { if case .passed(_, _, let replication) = self { replication } else { nil } }
}
