import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// One process after the other on the same addresses, and clients that must not notice.
  @Suite(.serialized) struct HandoverTests {
    private func acceptedByThePast(_ leba: LebaProcess) -> Int {
      let line = leba.log.split(separator: "\n").last { $0.contains("web:") && $0.contains("were accepted by this process") }
      return line?.split(separator: " ").compactMap { Int($0) }.first ?? -1
    }

    @Test func `five processes in a row, and no client notices`() async throws {
      let pair = try await WebPair()
      var current = pair.leba
      let load = Load.requests(to: pair.listener)
      try await load.more(50)
      let before = try await Self.accepted(current)
      #expect(before > 0)
      var accepted = 0
      var earlier: [LebaProcess] = []
      for _ in 0..<5 {
        let client = try TCPConnection(to: pair.listener)
        let slow = try await onOwnThread {
          try client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
          return try client.receive(exactly: 1024)
        }
        let next = try await current.successor()
        try await load.more(50)
        // The session ends where it began.
        let whole = slow + (try await onOwnThread { try client.receiveToEnd() })
        let split = try #require(whole.firstRange(of: Array("\r\n\r\n".utf8)))
        #expect(whole.count - split.upperBound == 64 * 1024)
        #expect(try await current.ended() == .exited(0), "\(current.log)")
        accepted += acceptedByThePast(current)
        #expect(acceptedByThePast(current) > 0, "\(current.log)")
        #expect(try await next.group("web").primary == "one")
        earlier.append(current)
        current = next
      }
      let outcomes = try await load.stop()
      #expect(outcomes.compactMap(\.failure).isEmpty, "\(Set(outcomes.compactMap(\.failure)))")
      // What the clients got is what the processes counted, this test's own five connections among it.
      try await eventually("the counts add up") { try await accepted + Self.accepted(current) == outcomes.count + 5 }
      // None of it was a failover.
      #expect(try await current.group("web").failoverCount == 0)
      #expect(try await current.stop() == .exited(0))
      withExtendedLifetime(earlier) {}
    }

    @Test func `a broken configuration, and a new process killed before it is ready, change nothing`() async throws {
      let pair = try await WebPair()
      let load = Load.requests(to: pair.listener)
      let broken = try pair.leba.directory.write("engin: epoll\n", to: "broken.yaml")
      let refused = try await LebaProcess.command("run", "--config", broken, "--take-over")
      #expect(refused.status == .exited(2))
      #expect(!pair.leba.log.contains("takes over"))

      for round in 1...3 {
        let next = try pair.leba.takingOver()
        try await eventually("it has the sockets") { pair.leba.count("it gets the listening sockets") == round }
        next.signal(SIGKILL)
        try await next.ended()
        try await eventually("the old process goes on") { pair.leba.count("this one goes on") == round }
      }
      try await load.more(50)
      #expect(try await load.stop().compactMap(\.failure).isEmpty)
      #expect(pair.leba.isRunning)
      try await eventually("the journal is its own again") {
        try await pair.leba.get("/api/v1/status").json["journal"]["problem"].string == nil
      }
      // And it can still be followed.
      let next = try await pair.leba.successor()
      #expect(try await pair.leba.ended() == .exited(0), "\(pair.leba.log)")
      #expect(try await pair.server() == "one")
      #expect(try await next.stop() == .exited(0))
    }

    @Test func `what the old process knew, the new one knows`() async throws {
      let pair = try await WebPair()
      #expect(
        try await pair.leba.post("/api/v1/groups/web/primary", "{\"backend_id\": \"two\", \"pin\": true}").status == 200)
      let next = try await pair.leba.successor()
      #expect(try await pair.leba.ended() == .exited(0))
      let group = try await next.group("web")
      #expect(group.primary == "two" && group.json["pinned"].bool == true)
      #expect(try await pair.server() == "two")
      #expect(try await next.events(of: "web").contains { $0["kind"].string == "manual" })
      #expect(try await next.get("/api/v1/status").json["journal"]["problem"].string == nil)
    }

    @Test func `other listeners and another number of workers`() async throws {
      let server = try await NginxServer("one", host: "127.0.0.2")
      let (kept, dropped, added) = (try FreePorts.next(), try FreePorts.next(), try FreePorts.next())
      let directory = try TemporaryDirectory()
      func configuration(workers: Int, _ listeners: String) -> String {
        """
        workers: \(workers)
        listeners:
          - {name: kept, address: "[::1]:\(kept)", group: web}
          - {name: local, address: "unix:\(directory.file("web.sock"))", group: web}
        \(listeners)
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """
      }
      let first = try await LebaProcess.start(
        configuration(workers: 3, "  - {name: dropped, address: \"127.0.0.1:\(dropped)\", group: web}"))
      let loads = [Endpoint.ip("::1", kept), .unix(directory.file("web.sock"))].map { Load.requests(to: $0, clients: 2) }
      for load in loads { try await load.more(20) }
      try first.rewrite(
        configuration(workers: 1, "  - {name: added, address: \"127.0.0.1:\(added)\", group: web}"), to: "next-config.yaml")
      let second = try await first.successor(configuration: "next-config.yaml")
      for load in loads { try await load.more(20) }
      #expect(try await first.ended() == .exited(0), "\(first.log)")
      #expect(try await HTTP.get("/", from: .ip("127.0.0.1", added)).body == "one")
      await #expect(throws: SocketFailure.refused) { try await HTTP.get("/", from: .ip("127.0.0.1", dropped)) }
      let third = try await second.successor(configuration: "config.yaml")
      for load in loads { try await load.more(20) }
      #expect(try await second.ended() == .exited(0), "\(second.log)")
      for load in loads { #expect(try await load.stop().compactMap(\.failure).isEmpty) }
      #expect(try await third.stop() == .exited(0))
      #expect(!FileManager.default.fileExists(atPath: directory.file("web.sock")))
    }

    @Test func `with nobody to follow it is an ordinary start`() async throws {
      let pair = try await WebPair()
      #expect(try await pair.leba.stop() == .exited(0))
      let next = try pair.leba.takingOver()
      try await eventually("it is ready") {
        try await next.get("/health/ready").status == 200
      }
      #expect(next.log.contains("there is nothing to take over"))
    }

    @Test func `sockets of the service manager are used, and outlive a restart`() async throws {
      guard FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-socket-activate") else { return }
      let server = try await NginxServer("one", host: "127.0.0.2")
      let (web, api, stray) = (try FreePorts.next(), try FreePorts.next(), try FreePorts.next())
      let directory = try TemporaryDirectory()
      try directory.write(
        """
        api: {address: "127.0.0.1:\(api)"}
        state_directory: \(directory.file("state"))
        listeners: [{name: web, address: "127.0.0.1:\(web)", group: web}]
        backends: [{id: one, address: 127.0.0.2, port: \(server.endpoint.port), protocol: http}]
        failover_groups: [{name: web, mode: active-passive, backends: [one], primary: one}]
        """, to: "config.yaml")
      let manager = try ChildProcess(
        "/usr/bin/systemd-socket-activate",
        [
          "-l", "127.0.0.1:\(web)", "-l", "127.0.0.1:\(api)", "-l", "127.0.0.1:\(stray)", "--fdname=web:api:stray",
          LebaProcess.binary, "run", "--config", directory.file("config.yaml"),
        ], outputs: directory, name: "manager")
      // The first connection starts it, and is served.
      try await eventually("the web server answers") { try await HTTP.get("/", from: .ip("127.0.0.1", web)).body == "one" }
      #expect(try await HTTP.get("/health/live", from: .ip("127.0.0.1", api)).status == 200)
      try await eventually("the stray socket is told of") {
        manager.errorOutput.contains("the inherited socket 'stray' on 127.0.0.1:\(stray) is closed")
      }
      #expect(try await manager.terminate() == .exited(0))
    }
  }
}

extension LebaProcess {
  fileprivate func count(_ text: String) -> Int { log.components(separatedBy: text).count - 1 }
}

extension EndToEnd.HandoverTests {
  /// Connections that this process accepted for the listener `web`, whatever became of them.
  fileprivate static func accepted(_ leba: LebaProcess) async throws -> Int {
    let metrics = try await leba.metrics()
    return Int(
      (metrics.value("leba_connections_total", ["listener": "web"]) ?? 0)
        + (metrics.value("leba_connections_active", ["listener": "web"]) ?? 0))
  }
}
