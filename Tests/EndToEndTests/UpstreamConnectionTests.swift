import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// How backends are connected to, and how long sessions may last, as the file says it.
  @Suite(.serialized) struct UpstreamConnectionTests {
    @Test(arguments: ["v1", "v2"], ["127.0.0.1", "::1"])
    func `nginx learns the client from the header, and checks pass with it`(version: String, host: String) async throws {
      let server = try await NginxServer("one", host: host)
      let listener = Endpoint.ip(host, try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: "\(host)", port: \(server.endpointWithHeader.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one, proxy_protocol: \(version)}]
        """)
      try await leba.untilEligible(in: "web", ["one"])
      let parts = try await HTTP.get("/client", from: listener).body.split(separator: " ").map(String.init)
      #expect(parts.count == 3)
      #expect(parts.first == host)
      #expect(parts.last == "\(listener.port)")
    }

    @Test func `without the header nginx answers nobody, and the check says so`() async throws {
      let server = try await NginxServer("one")
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "127.0.0.1:\(try FreePorts.next())", group: web}]
        backends: [{id: one, address: 127.0.0.1, port: \(server.endpointWithHeader.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """)
      try await eventually("it is down") { try await leba.group("web").eligible.isEmpty }
    }

    @Test func `a full backend holds whoever comes next until a place is free`() async throws {
      let server = try TCPServer { connection in
        if try connection.receive(exactly: 1).isEmpty { return }
        try connection.send("1")
        _ = try connection.receiveToEnd()
        connection.finishSending()
      }
      guard case .ip(let host, let port) = server.endpoint else { throw TestFailure("a backend has an address") }
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: raw, address: "\(listener)", group: raw, idle_timeout: 1m, maximum_duration: 1h, maximum_connections: 10}]
        backends: [{id: only, address: "\(host)", port: \(port), protocol: tcp}]
        failover_groups:
          - {name: raw, mode: active-passive, backends: [only], primary: only, maximum_connections: 1, connect_hedge: 100ms}
        """)
      try await leba.untilPrimary(of: "raw", is: "only")
      let first = try await TCPConnection.open(listener)
      try await first.sending("a")
      #expect(try await first.receivedText(exactly: 1) == "1")
      let second = try await TCPConnection.open(listener)
      try await second.sending("b")
      try await eventually("the second is held") { try await leba.metrics().value("leba_connections_held", ["group": "raw"]) == 1 }
      first.finishSending()
      #expect(try await second.receivedText(exactly: 1) == "1")
      try await eventually("its wait is known") { try await leba.metrics().value("leba_hold_seconds_count", ["group": "raw"]) == 1 }
    }

    /// The check asks another port, so that only who connects for a client meets the silence.
    @Test func `a backend that swallows connects costs a hedge and not a timeout`() async throws {
      let server = try TCPServer(host: "127.0.0.3") { connection in
        if try connection.receive(exactly: 1).isEmpty { return }
        try connection.send("1")
        _ = try connection.receiveToEnd()
      }
      let silent = try SwallowingPort(host: "127.0.0.2", port: server.endpoint.port)
      let alive = try FreePorts.next()
      let checked = [try TCPServer.echo(host: "127.0.0.2", port: alive), try TCPServer.echo(host: "127.0.0.3", port: alive)]
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: raw, address: "\(listener)", group: raw}]
        backends:
          - {id: silent, address: 127.0.0.2, port: \(silent.endpoint.port), protocol: tcp}
          - {id: healthy, address: 127.0.0.3, port: \(server.endpoint.port), protocol: tcp}
        failover_groups:
          - name: raw
            mode: normal
            backends: [silent, healthy]
            connect_hedge: 50ms
            health_check: {criteria: {tcp: {port: \(alive)}}}
        """)
      try await leba.untilEligible(in: "raw", ["silent", "healthy"])
      var clients: [TCPConnection] = []
      for _ in 0..<6 {
        let client = try await TCPConnection.open(listener)
        try await client.sending("a")
        #expect(try await client.receivedText(exactly: 1) == "1")
        clients.append(client)
      }
      // Those whose turn it was with the silent one. None of them waited for the second that a connect may take.
      let metrics = try await leba.metrics()
      #expect(metrics.value("leba_retries_total", ["listener": "raw", "reason": "hedge"]) == 3)
      #expect(metrics.value("leba_retries_total", ["listener": "raw", "reason": "connect_timed_out"]) ?? 0 == 0)
      #expect(server.connectionsAccepted == clients.count)
      // Their sessions go on; the connects that nobody needed do not.
      #expect(silent.connecting == 0)
      let group = try await leba.group("raw")
      #expect(group.backend("silent")["active_connections"].int == 0)
      #expect(group.backend("healthy")["active_connections"].int == clients.count)
      withExtendedLifetime(checked) {}
    }

    @Test func `an idle session is closed and counted`() async throws {
      let server = try TCPServer { connection in
        if try connection.receive(exactly: 1).isEmpty { return }
        try connection.send("1")
        _ = try connection.receiveToEnd()
      }
      guard case .ip(let host, let port) = server.endpoint else { throw TestFailure("a backend has an address") }
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: raw, address: "\(listener)", group: raw, idle_timeout: 300ms}]
        backends: [{id: only, address: "\(host)", port: \(port), protocol: tcp}]
        failover_groups: [{name: raw, mode: active-passive, backends: [only], primary: only}]
        """)
      try await leba.untilPrimary(of: "raw", is: "only")
      let client = try await TCPConnection.open(listener)
      try await client.sending("a")
      #expect(try await client.receivedText(exactly: 1) == "1")
      #expect(try await client.receivedTextToEnd() == "")
      client.finishSending()
      try await eventually("it is counted") {
        try await leba.metrics().value("leba_connections_total", ["listener": "raw", "outcome": "idle"]) == 1
      }
    }
  }
}
