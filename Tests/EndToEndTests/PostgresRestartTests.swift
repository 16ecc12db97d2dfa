import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// The sidecar is killed and started again in the middle of what happens to a PostgreSQL primary. What was acknowledged to a client
  /// is on the standby as well, so every row of it must be there in the end.
  @Suite(.serialized) struct PostgresRestartTests {
    @Test func `killed in the middle of a loss and of a recovery, it loses no acknowledged write`() async throws {
      var cluster = try await PostgresTests.Cluster()
      try await cluster.first.acknowledgeWhatAStandbyHas()
      let writers = PostgresWriters(to: cluster.listener)
      try await writers.moreWrites(50)

      cluster.leba.signal(SIGSTOP)
      try await cluster.first.killAll()
      // Nobody can be written to: not ready, and right so.
      cluster.leba = try await cluster.leba.restarted(untilReady: false)
      try await cluster.untilHolding()
      #expect(cluster.applicationSessions(of: cluster.second) == 0)
      try await cluster.second.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      try await writers.moreWrites(50)
      try await cluster.leba.untilPrimaryIsWritten(of: "postgres-cluster", cluster.secondID)

      // The old primary comes back as a standby while nobody looks.
      cluster.leba.signal(SIGSTOP)
      try await cluster.first.rejoin(cluster.second)
      cluster.leba = try await cluster.leba.restarted()
      try await cluster.leba.untilReplica(cluster.firstID, in: "postgres-cluster")
      try await writers.moreWrites(50)
      try await expectAllWritten(try await writers.stop(), cluster)
    }

    @Test func `killed while the primary is frozen, it follows the promotion and not the thaw`() async throws {
      var cluster = try await PostgresTests.Cluster()
      try await cluster.first.acknowledgeWhatAStandbyHas()
      let writers = PostgresWriters(to: cluster.listener)
      try await writers.moreWrites(50)

      cluster.leba.signal(SIGSTOP)
      cluster.first.freeze()
      cluster.leba = try await cluster.leba.restarted(untilReady: false)
      try await cluster.untilHolding()
      try await cluster.second.promote()
      try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      try await writers.moreWrites(50)
      try await cluster.leba.untilPrimaryIsWritten(of: "postgres-cluster", cluster.secondID)

      cluster.first.thaw()
      cluster.leba = try await cluster.leba.restarted()
      try await eventually("both are writable") { try await cluster.role(of: cluster.firstID) == "primary" }
      try await writers.moreWrites(50)
      #expect(try await cluster.group().primary == cluster.secondID)
      try await expectAllWritten(try await writers.stop(), cluster)
    }

    private func expectAllWritten(
      _ report: PostgresWriters.Report, _ cluster: PostgresTests.Cluster
    ) async throws {
      #expect(report.successions == [cluster.first.host, cluster.second.host])
      #expect(report.readOnlyErrors == [])
      let rows = Set(try await cluster.second.query("SELECT note FROM writes").split(separator: "\n").map(String.init))
      #expect(Set(report.written).subtracting(rows) == [])
      try await EndToEnd.expectHistory(
        cluster.leba, of: "postgres-cluster", changes: ["\(cluster.firstID) > \(cluster.secondID)"])
    }
  }
}

extension EndToEnd.PostgresTests.Cluster {
  /// Waits until there is no primary and the writers wait for one.
  fileprivate func untilHolding() async throws {
    try await eventually("all writers are held") { try await held() == 4 }
    try await eventually("the group holds") { try await group().state == "holding" }
  }
}
