import TestSupport
import Testing

extension EndToEnd {
  /// Active-passive and normal groups of web servers.
  @Suite(.serialized) struct WebFailoverTests {
    @Test func `a killed primary is replaced at once, and stays a backup when it is back`() async throws {
      let pair = try await WebPair()
      let load = Load.requests(to: pair.listener)
      try await load.more(100)
      #expect(Set(load.outcomes.compactMap(\.server)) == ["one"])

      try await pair.one.kill()
      try await pair.leba.untilPrimary(of: "web", is: "two")
      try await load.more(100)
      try await pair.one.start()
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      try await load.more(200)
      let outcomes = try await load.stop()

      // A request whose bytes had reached the server when it was killed cannot be sent again: one for each client at most.
      let failures = outcomes.compactMap(\.failure)
      #expect(failures.count <= 4, "\(failures)")
      let servers = outcomes.compactMap(\.server)
      let switched = try #require(servers.firstIndex(of: "two"))
      // Answers of the two may cross on their way to the load's list, not more.
      #expect(!servers[min(switched + 4, servers.count)...].contains("one"))
      #expect(Set(servers.suffix(200)) == ["two"])

      let group = try await pair.leba.group("web")
      #expect(group.primary == "two")
      #expect(group.failoverCount == 1)
      #expect(group.backend("one")["eligible"].bool == true)
      let changes = try await pair.leba.events(of: "web").filter { $0["kind"].string == "failover" }
      #expect(changes.map { $0["from"].string } == ["one"])
      #expect(changes.map { $0["to"].string } == ["two"])
    }

    @Test func `a frozen primary is found out by its probes, and its sessions end`() async throws {
      let pair = try await WebPair()
      let stuck = try await TCPConnection.open(pair.listener)
      try await onOwnThread {
        let answer = try HTTP.exchange("GET", "/", on: stuck, pair.listener)
        #expect(answer.body == "one")
      }
      pair.one.freeze()
      // The kernel still accepts for a frozen process, and nobody answers.
      try await stuck.sending("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      try await pair.leba.untilPrimary(of: "web", is: "two")
      #expect(try await pair.server() == "two")
      // Not a byte of an answer: the session ends, in order or with a reset.
      let rest = try await onOwnThread { (try? stuck.receiveToEnd()) ?? [] }
      #expect(rest.isEmpty)

      pair.one.thaw()
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      #expect(try await pair.leba.group("web").primary == "two")
      #expect(try await pair.server() == "two")
      #expect(try await pair.leba.group("web").failoverCount == 1)
    }

    @Test func `a new connection waits while nobody can serve, and is served when somebody can`() async throws {
      let port = try FreePorts.next()
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await Self.startWithoutBackend(port: port, listener: listener, holdTimeout: "1m")
      let client = try await TCPConnection.open(listener)
      try await client.sending("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
      try await eventually("the connection is held") {
        try await leba.metrics().value("leba_connections_held", ["group": "web"]) == 1
      }
      let server = try await NginxServer("late", host: "127.0.0.2", port: port)
      #expect(try await client.receivedTextToEnd().hasSuffix("\r\n\r\nlate"))
      #expect(try await leba.metrics().value("leba_connections_held", ["group": "web"]) == 0)
      withExtendedLifetime(server) {}
    }

    @Test func `a held connection ends in good order after hold_timeout, and is counted`() async throws {
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await Self.startWithoutBackend(port: try FreePorts.next(), listener: listener, holdTimeout: "300ms")
      let client = try await TCPConnection.open(listener)
      try await client.sending("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      // An end of the stream, not a reset.
      #expect(try await client.receivedTextToEnd() == "")
      try await eventually("the end is counted") {
        try await leba.metrics().value("leba_connections_total", ["listener": "web", "outcome": "hold_timeout"]) == 1
      }
    }

    private static func startWithoutBackend(port: UInt16, listener: Endpoint, holdTimeout: String) async throws -> LebaProcess {
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one, hold_timeout: \(holdTimeout)}]
        """)
      try await eventually("nobody can serve") { try await leba.group("web").backend("one")["health"].string == "down" }
      return leba
    }

    @Test func `a refused connect is retried on the next backend, and no request fails`() async throws {
      // Probes an hour apart: it is the data path that finds out.
      let pair = try await WebPair(mode: "normal", group: "health_check: {interval: 1h, timeout: 5s, healthy_threshold: 1}")
      try await pair.one.kill()
      let load = Load.requests(to: pair.listener)
      try await load.more(200)
      let outcomes = try await load.stop()
      #expect(outcomes.compactMap(\.failure) == [])
      #expect(Set(outcomes.compactMap(\.server)) == ["two"])
      #expect((try await pair.leba.metrics().value("leba_retries_total", ["listener": "web"]) ?? 0) >= 1)
    }

    @Test func `a normal group spreads requests over all healthy backends`() async throws {
      let pair = try await WebPair(mode: "normal")
      let load = Load.requests(to: pair.listener)
      try await load.more(100)
      let servers = try await load.stop().compactMap(\.server)
      let ones = servers.count { $0 == "one" }
      #expect(abs(2 * ones - servers.count) <= servers.count / 5, "\(ones) of \(servers.count)")
    }

    @Test func `a unix socket listener serves`() async throws {
      let server = try await NginxServer("one", host: "127.0.0.2")
      let directory = try TemporaryDirectory()
      let listener = Endpoint.unix(directory.file("web.sock"))
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """)
      try await leba.untilPrimary(of: "web", is: "one")
      #expect(try await HTTP.get("/", from: listener).body == "one")
      #expect(try await leba.stop() == .exited(0))
      // A socket file that nobody listens on would only mislead the next client.
      #expect(throws: SocketFailure.self) { try TCPConnection(to: listener) }
    }
  }
}
