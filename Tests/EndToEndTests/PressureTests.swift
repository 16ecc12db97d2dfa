import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// More than there is room for: descriptors, memory.
  @Suite(.serialized) struct PressureTests {
    private static func start(_ server: NginxServer, descriptorLimit: Int? = nil) async throws -> (
      leba: LebaProcess, listener: Endpoint
    ) {
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one, hold_timeout: 20s}]
        """, descriptorLimit: descriptorLimit)
      try await leba.untilPrimary(of: "web", is: "one")
      return (leba, listener)
    }

    /// Clients that have asked and not been answered yet.
    private static func asking(_ count: Int, _ listener: Endpoint) async throws -> [TCPConnection] {
      try await onOwnThread {
        try (0..<count).map { _ in
          let client = try TCPConnection(to: listener)
          try client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
          return client
        }
      }
    }

    private static func expectServed(_ clients: some Collection<TCPConnection> & Sendable) async throws {
      let answers = try await onOwnThread { try clients.map { String(decoding: try $0.receive(), as: UTF8.self) } }
      #expect(answers.allSatisfy { $0.hasPrefix("HTTP/1.1 200") })
    }

    @Test func `at the connection limit accepting pauses, and probes and API keep their descriptors`() async throws {
      let descriptorLimit = 600
      let server = try await NginxServer("one", host: "127.0.0.2")
      let (leba, listener) = try await Self.start(server, descriptorLimit: descriptorLimit)
      let limit = try #require(try await leba.get("/api/v1/status").json["connection_limit"].int)
      #expect(limit > 50 && 2 * limit < descriptorLimit)
      let clients = try await Self.asking(limit + 30, listener)
      try await Self.expectServed(clients.prefix(limit))
      #expect(try await leba.metrics().value("leba_accept_pauses_total") == 1)
      #expect(try await leba.metrics().value("leba_connections_active", ["listener": "web"]) == Double(limit))
      // Probes go on: they find the server dead, and alive again, and so does everybody who asks the API.
      server.freeze()
      try await eventually("probes notice") { try await !leba.group("web").primaryIsHealthy }
      server.thaw()
      try await leba.untilPrimary(of: "web", is: "one")
      for client in clients.prefix(limit) { client.close() }
      try await Self.expectServed(clients.suffix(30))
      #expect(leba.descriptorCount < descriptorLimit)
    }

    /// The real thing, not an injected one: the limit is lowered under the running process, and lifted again.
    @Test func `out of descriptors it rests, and goes on when there are some`() async throws {
      let server = try await NginxServer("one", host: "127.0.0.2")
      let (leba, listener) = try await Self.start(server)
      let descriptors = leba.descriptorCount
      // A descriptor is numbered below the limit: holes, and few above what is used.
      try await mustRun("prlimit", ["--pid", "\(leba.pid)", "--nofile=\(descriptors + 12):"])
      let clients = try await Self.asking(60, listener)
      let start = ContinuousClock.now
      let used = leba.workerTime
      try await eventually("it has been out of descriptors for a second") { ContinuousClock.now - start > .seconds(1) }
      let busy = leba.workerTime - used
      #expect(busy < .milliseconds(250), "the data plane spins: \(busy) of a processor")
      #expect(leba.isRunning)
      try await mustRun("prlimit", ["--pid", "\(leba.pid)", "--nofile=10000:"])
      try await Self.expectServed(clients)
      // io_uring accepts under the limit that was in force when accepting began, and then finds no descriptor for the other side.
      let metrics = try await leba.metrics()
      let pauses = metrics.value("leba_accept_pauses_total") ?? 0
      let shortages = metrics.value("leba_retries_total", ["listener": "web", "reason": "local"]) ?? 0
      #expect(pauses + shortages > 0)
      for client in clients { client.close() }
      try await eventually("all are counted, each as completed") {
        try await leba.metrics().value("leba_connections_total", ["listener": "web", "outcome": "completed"]) == 60
      }
      try await eventually("the descriptors are given back") { leba.descriptorCount <= descriptors + 10 }
      try await leba.untilPrimary(of: "web", is: "one")
      #expect(try await leba.group("web").failoverCount == 0)
    }

    @Test func `ten thousand connections come and go, and memory and descriptors are where they were`() async throws {
      let (total, batch) = (10_000, 500)
      let server = try await NginxServer("one", host: "127.0.0.2")
      let (leba, listener) = try await Self.start(server)
      let descriptors = leba.descriptorCount
      var baseline = 0
      for number in 0..<(total / batch) {
        let clients = try await Self.asking(batch, listener)
        try await Self.expectServed(clients)
        for client in clients { client.close() }
        try await eventually("the descriptors are given back") { leba.descriptorCount <= descriptors + 10 }
        // What the first batches touched is what a batch needs.
        if number == 1 { baseline = leba.residentMemory }
      }
      let growth = leba.residentMemory - baseline
      #expect(growth < 2 << 20, "grew by \(growth >> 10) KiB")
      #expect(try await leba.metrics().value("leba_connections_total", ["listener": "web"]) == Double(total))
    }

    @Test func `clients that never read cost a buffer each`() async throws {
      let count = 60
      let server = try TCPServer { connection in
        // One byte asks for it: health probes of a tcp backend connect and say nothing.
        _ = try connection.receive(exactly: 1)
        let block = [UInt8](repeating: 0x5a, count: 65536)
        while true { try connection.send(bytes: block) }
      }
      guard case .ip(let host, let port) = server.endpoint else { throw TestFailure("a backend has an address") }
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: raw, address: "\(listener)", group: raw}]
        backends: [{id: only, address: "\(host)", port: \(port), protocol: tcp}]
        failover_groups: [{name: raw, mode: active-passive, backends: [only], primary: only}]
        """)
      try await leba.untilPrimary(of: "raw", is: "only")
      let before = leba.residentMemory
      let clients = try await onOwnThread {
        try (0..<count).map { _ in
          let client = try TCPConnection(to: listener)
          try client.send("!")
          return client
        }
      }
      var last = -1.0
      try await eventually("nothing moves any more", every: .milliseconds(200)) {
        let sent = try await leba.metrics().value("leba_bytes_total", ["listener": "raw", "direction": "sent"]) ?? 0
        defer { last = sent }
        return sent > 0 && sent == last
      }
      let growth = leba.residentMemory - before
      #expect(growth < count * 64 * 1024 + (6 << 20), "grew by \(growth >> 10) KiB")
      for client in clients { client.reset() }
      try await eventually("all are counted as resets by their clients") {
        try await leba.metrics().value("leba_connections_total", ["listener": "raw", "outcome": "reset_by_client"]) == Double(count)
      }
    }
  }
}
