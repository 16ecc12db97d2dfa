import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// The configuration changes while connections are open.
  @Suite(.serialized) struct ReloadTests {
    private func configuration(_ pair: WebPair, mode: String = "active-passive", primary: String = "one", more: String = "")
      -> String
    {
      """
      listeners: [{name: web, address: "\(pair.listener)", group: web}]
      backends:
        - {id: one, address: 127.0.0.2, port: \(pair.one.endpoint.port), protocol: http}
        - {id: two, address: 127.0.0.3, port: \(pair.two.endpoint.port), protocol: http}
      failover_groups:
        - {name: web, mode: \(mode), backends: [one, two], primary: \(primary)}
      \(more)
      """
    }

    @Test func `a changed file is followed by itself, and no session of the group ends`() async throws {
      let pair = try await WebPair()
      let session = try await TCPConnection.open(pair.listener)
      func ask() async throws -> String { try await onOwnThread { try HTTP.exchange("GET", "/", on: session, pair.listener).body } }
      #expect(try await ask() == "one")
      try pair.leba.rewrite(configuration(pair, mode: "normal"))
      try await eventually("the mode is another") { try await pair.leba.group("web").json["mode"].string == "normal" }
      #expect(try await ask() == "one")
      try await eventually("both serve") {
        Set([try await pair.server(), try await pair.server(), try await pair.server()]) == ["one", "two"]
      }
      try pair.leba.rewrite(configuration(pair))
      try await eventually("the mode is the old one") { try await pair.leba.group("web").json["mode"].string == "active-passive" }
      #expect(try await ask() == "one")
    }

    @Test func `an address that leads to another group keeps its socket, and who connects notices nothing`() async throws {
      let pair = try await WebPair()
      func configuration(_ group: String, name: String) -> String {
        """
        listeners: [{name: \(name), address: "\(pair.listener)", group: \(group)}]
        backends:
          - {id: one, address: 127.0.0.2, port: \(pair.one.endpoint.port), protocol: http}
          - {id: two, address: 127.0.0.3, port: \(pair.two.endpoint.port), protocol: http}
        failover_groups:
          - {name: web, mode: active-passive, backends: [one], primary: one}
          - {name: other, mode: active-passive, backends: [two], primary: two}
        """
      }
      let load = Load.requests(to: pair.listener)
      try await load.more(20)
      for (group, name, server) in [("other", "web", "two"), ("web", "front", "one"), ("other", "web", "two")] {
        try pair.leba.rewrite(configuration(group, name: name))
        try await eventually("\(server) serves") { try await pair.server() == server }
        try await load.more(20)
      }
      #expect(try await load.stop().compactMap(\.failure).isEmpty)
      #expect(pair.leba.log.components(separatedBy: "leads to").count == 4, "\(pair.leba.log)")
    }

    @Test func `a bad file is refused whole, and said`() async throws {
      let pair = try await WebPair()
      try pair.leba.rewrite(configuration(pair, mode: "sideways"))
      try await eventually("the problem is shown") {
        try await pair.leba.get("/api/v1/status").json["configuration"]["problem"].string?.contains("sideways") == true
      }
      #expect(try await pair.leba.group("web").json["mode"].string == "active-passive")
      #expect(try await pair.server() == "one")
      let refused = try await pair.leba.post("/api/v1/config/reload", "{}")
      #expect(refused.status == 422, "\(refused)")
      try pair.leba.rewrite(configuration(pair, mode: "normal"))
      try await eventually("the next good one is taken") { try await pair.leba.group("web").json["mode"].string == "normal" }
      #expect(try await pair.leba.get("/api/v1/status").json["configuration"]["problem"] == .null)
    }

    @Test func `a file that is gone is said, and no longer when the same one is back`() async throws {
      let pair = try await WebPair()
      func problem() async throws -> String? {
        try await pair.leba.get("/api/v1/status").json["configuration"]["problem"].string
      }
      let file = pair.leba.directory.file("config.yaml")
      try FileManager.default.moveItem(atPath: file, toPath: file + ".away")
      try await eventually("it is said to be gone") { try await problem()?.contains("no file") == true }
      #expect(try await pair.server() == "one")
      try FileManager.default.moveItem(atPath: file + ".away", toPath: file)
      try await eventually("all is well again") { try await problem() == nil }
      #expect(try await pair.leba.group("web").json["mode"].string == "active-passive")
    }

    @Test func `SIGHUP and the API reload too, groups and listeners come and go, others are left alone`() async throws {
      let pair = try await WebPair()
      let session = try await TCPConnection.open(pair.listener)
      #expect(try await onOwnThread { try HTTP.exchange("GET", "/", on: session, pair.listener).body } == "one")
      let second = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let more = "  - {name: other, mode: normal, backends: [two]}\n"
      let listeners =
        "listeners: [{name: web, address: \"\(pair.listener)\", group: web}, {name: other, address: \"\(second)\", group: other}]"
      let text = configuration(pair, more: more).split(separator: "\n").map { $0.hasPrefix("listeners:") ? listeners : String($0) }
        .joined(separator: "\n")
      try pair.leba.rewrite(text)
      pair.leba.signal(SIGHUP)
      try await eventually("the new listener serves") { try await HTTP.get("/", from: second).body == "two" }
      try pair.leba.rewrite(configuration(pair))
      let answer = try await pair.leba.post("/api/v1/config/reload", "{}")
      #expect(answer.status == 200, "\(answer)")
      try await eventually("the group is gone") { try await pair.leba.get("/api/v1/groups/other").status == 404 }
      try await eventually("its listener is closed") { (try? TCPConnection(to: second)) == nil }
      #expect(try await onOwnThread { try HTTP.exchange("GET", "/", on: session, pair.listener).body } == "one")
      #expect(try await pair.leba.group("web").failoverCount == 0)
    }
  }
}
