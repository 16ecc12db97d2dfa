import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// Databases that contradict each other.
  @Suite(.serialized) struct SplitBrainTests {
    @Test func `after a fork both are writable: the later timeline leads, an alarm is raised, and nothing alternates`() async throws
    {
      let cluster = try await PostgresTests.Cluster()
      // Promoted while the old primary runs on: two histories from here.
      try await cluster.second.promote()
      try await eventually("the alarm is raised") {
        try await cluster.leba.events(of: "postgres-cluster").contains { $0["kind"].string == "two_writable" }
      }
      let group = try await cluster.leba.untilPrimary(of: "postgres-cluster", is: cluster.secondID)
      #expect(group.backend(cluster.secondID)["timeline"].int == 2)
      #expect(group.backend(cluster.firstID)["timeline"].int == 1)
      #expect(try await cluster.portOfNewSession() == "127.0.0.3")
      // Many probes later it is still the one.
      let probes = "leba_probes_total"
      let before = try await cluster.leba.metrics().value(probes) ?? 0
      try await eventually("both were asked many times") { (try await cluster.leba.metrics().value(probes) ?? 0) > before + 20 }
      let after = try await cluster.group()
      #expect(after.primary == cluster.secondID)
      #expect(after.failoverCount == 1)
    }

    @Test func `a replica that lags is not read from while another does not, and says by how much`() async throws {
      let primary = try await PostgresServer.primary(host: "127.0.0.2")
      let near = try await primary.standby(host: "127.0.0.3")
      let far = try await primary.standby(host: "127.0.0.4", delay: "1h")
      let (writes, reads) = (Endpoint.ip("127.0.0.1", try FreePorts.next()), Endpoint.ip("127.0.0.1", try FreePorts.next()))
      let leba = try await LebaProcess.start(
        """
        listeners:
          - {name: pg, address: "\(writes)", group: pg}
          - {name: pg-ro, address: "\(reads)", group: pg, role: replica}
        backends:
          - {id: main, address: 127.0.0.2, port: \(primary.port), protocol: postgres}
          - {id: near, address: 127.0.0.3, port: \(primary.port), protocol: postgres}
          - {id: far, address: 127.0.0.4, port: \(primary.port), protocol: postgres}
        failover_groups:
          - name: pg
            mode: active-passive
            backends: [main, near, far]
            primary: main
            health_check: {type: postgres, postgres: {user: leba, depth: role, maximum_lag: 1s}}
        """)
      try await leba.untilPrimary(of: "pg", is: "main")
      try await primary.query("INSERT INTO writes (note) VALUES ('lag')")
      try await eventually("the lag is known") {
        // One more, so that there is something to replay.
        try await primary.query("INSERT INTO writes (note) VALUES ('more')")
        return try await leba.group("pg").backend("far")["reason"].string?.contains("behind") == true
      }
      #expect(try await leba.group("pg").backend("near")["reason"].string == "healthy, not eligible: replica")
      for _ in 0..<6 {
        let host = try await onOwnThread { try PostgresSession(to: reads).query("SELECT host(inet_server_addr())").first }
        #expect(host == "127.0.0.3")
      }
      withExtendedLifetime((near, far)) {}
    }
  }
}
