import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// What people do to a running sidecar: drain, add, plan, ask why.
  @Suite(.serialized) struct OperatorTests {
    @Test func `a drained backend gets no new connections, keeps its session, and comes back`() async throws {
      let pair = try await WebPair(mode: "normal")
      let kept = try await TCPConnection.open(pair.listener)
      let first = try await onOwnThread { try HTTP.exchange("GET", "/", on: kept, pair.listener).body }
      let answer = try await pair.leba.command("drain", first)
      #expect(answer.status == .exited(0), "\(answer)")
      try await eventually("it is draining") {
        try await pair.leba.group("web").backend(first)["administrative"].string == "draining"
      }
      #expect(try await pair.leba.group("web").backend(first)["reason"].string?.contains("operator") == true)
      let load = Load.requests(to: pair.listener)
      try await load.more(60)
      #expect(Set(try await load.stop().compactMap(\.server)) == [first == "one" ? "two" : "one"])
      // The session that was there goes on.
      #expect(try await onOwnThread { try HTTP.exchange("GET", "/", on: kept, pair.listener).body } == first)
      #expect(try await pair.leba.command("undrain", first).status == .exited(0))
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      #expect(try await pair.leba.post("/api/v1/backends/nobody/drain", "{}").status == 404)
      let kinds = try await pair.leba.events(of: "web").compactMap { $0["kind"].string }
      #expect(kinds.contains("drained") && kinds.contains("undrained"))
    }

    @Test func `draining the primary fails over, and undraining it does not fail back`() async throws {
      let pair = try await WebPair()
      #expect(try await pair.leba.post("/api/v1/backends/one/drain?dry_run=true", "{}").status == 200)
      #expect(try await pair.leba.group("web").primary == "one")
      #expect(try await pair.leba.post("/api/v1/backends/one/drain", "{}").status == 200)
      try await pair.leba.untilPrimary(of: "web", is: "two")
      #expect(try await pair.server() == "two")
      #expect(try await pair.leba.post("/api/v1/backends/one/undrain", "{}").status == 200)
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      #expect(try await pair.leba.group("web").primary == "two")
    }

    @Test func `a chosen primary that dies a moment later is replaced at once`() async throws {
      let pair = try await WebPair(group: "minimum_interval: 1h")
      #expect(try await pair.leba.post("/api/v1/groups/web/primary", #"{"backend_id": "two"}"#).status == 200)
      #expect(try await pair.server() == "two")
      try await pair.two.kill()
      // Held for a moment, and not for an hour.
      #expect(try await pair.server() == "one")
      try await pair.leba.untilPrimary(of: "web", is: "one")
    }

    @Test func `members are added and taken out while it runs`() async throws {
      let pair = try await WebPair(mode: "normal")
      let third = try await NginxServer("three", host: "127.0.0.4")
      let id = "\(third.endpoint)"
      let added = try await pair.leba.post("/api/v1/groups/web/backends", "{\"backend_id\": \"\(id)\"}")
      #expect(added.status == 201, "\(added)")
      try await eventually("the third takes part") {
        var seen: Set<String> = []
        for _ in 0..<12 { seen.insert(try await pair.server()) }
        return seen == ["one", "two", "three"]
      }
      #expect(try await pair.leba.post("/api/v1/groups/web/backends", "{\"backend_id\": \"\(id)\"}").status == 409)
      #expect(try await pair.leba.delete("/api/v1/groups/web/backends/\(id)").status == 200)
      try await eventually("the third is gone") { try await pair.leba.group("web").backends.count == 2 }
      // What the file says is changed in the file.
      #expect(try await pair.leba.delete("/api/v1/groups/web/backends/one").status == 409)
      #expect(try await pair.leba.delete("/api/v1/groups/web/backends/nobody").status == 404)
    }

    @Test func `maintenance is carried out by itself, with a pre-drain, and ends by itself`() async throws {
      let pair = try await WebPair()
      let answer = try await pair.leba.command(
        "maintenance", "add", "one", "--start", rfc3339(secondsFromNow: 2), "--for", "3s", "--pre-drain", "1s", "--id", "patch")
      #expect(answer.status == .exited(0), "\(answer)")
      #expect(try await pair.leba.get("/api/v1/maintenance").body.contains("\"patch\""))
      try await eventually("it drains") {
        try await pair.leba.group("web").backend("one")["administrative"].string == "draining"
      }
      try await pair.leba.untilPrimary(of: "web", is: "two")
      try await eventually("it is in maintenance") {
        try await pair.leba.group("web").backend("one")["administrative"].string == "maintenance"
      }
      #expect(try await pair.server() == "two")
      try await eventually("it is back in service") {
        try await pair.leba.group("web").backend("one")["administrative"].string == "in_service"
      }
      #expect(try await pair.leba.group("web").primary == "two")
      let kinds = try await pair.leba.events(of: "web").compactMap { $0["kind"].string }
      #expect(kinds.contains("maintenance_began") && kinds.contains("maintenance_ended"), "\(kinds)")
    }

    @Test func `maintenance is not carried out where nobody else could serve, and says so`() async throws {
      let pair = try await WebPair()
      try await pair.two.kill()
      try await pair.leba.untilEligible(in: "web", ["one"])
      let body = "{\"id\": \"w\", \"backend\": \"one\", \"start\": \"\(rfc3339(secondsFromNow: 1))\", \"duration\": \"1h\"}"
      let answer = try await pair.leba.post("/api/v1/maintenance", body)
      #expect(answer.status == 201, "\(answer)")
      try await eventually("it is cancelled") {
        try await pair.leba.events(of: "web").contains { $0["kind"].string == "maintenance_cancelled" }
      }
      #expect(try await pair.leba.group("web").backend("one")["administrative"].string == "in_service")
      #expect(try await pair.server() == "one")
      #expect(try await pair.leba.get("/api/v1/maintenance").body.contains("cancelled"))
      #expect(try await pair.leba.delete("/api/v1/maintenance/w").status == 200)
      #expect(try await pair.leba.delete("/api/v1/maintenance/w").status == 404)
    }

    @Test func `explain names the primary, the rule and what would change it`() async throws {
      let pair = try await WebPair()
      let answer = try await pair.leba.command("explain", "web")
      #expect(answer.status == .exited(0))
      #expect(answer.output.contains("one") && answer.output.contains("two"), "\(answer.output)")
      let json = try await pair.leba.get("/api/v1/groups/web/explain").json
      #expect(json["rule"].string != nil && json["decision"].string?.contains("one") == true, "\(json)")
      #expect(!json["would_change"].array.isEmpty)
      #expect(try await pair.leba.command("explain", "nothing").status == .exited(1))
    }

    @Test func `a group in shadow mode decides, records, and does not act`() async throws {
      let pair = try await WebPair(group: "shadow: true")
      try await pair.one.kill()
      try await eventually("the decision is recorded") {
        try await pair.leba.events(of: "web").contains { $0["kind"].string == "shadowed" }
      }
      let group = try await pair.leba.group("web")
      #expect(group.primary == "one")
      #expect(group.json["shadow_primary"].string == "two")
      #expect(group.failoverCount == 0)
    }

    @Test func `a primary that flaps does not take its clients along`() async throws {
      let pair = try await WebPair(
        group: """
          minimum_interval: 500ms
          failback: automatic
          failback_after: 0s
          maximum_failovers: {count: 4, within: 1h}
          health_check: {interval: 50ms, timeout: 50ms}
          """)
      for pause in [100, 200, 400, 800, 1600, 400, 800] as [Int] {
        pair.one.freeze()
        try await Task.sleep(for: .milliseconds(pause))
        pair.one.thaw()
        try await Task.sleep(for: .milliseconds(pause))
      }
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      let count = try #require(try await pair.leba.group("web").failoverCount)
      #expect((1...4).contains(count), "\(count) changes of primary")
      let server = try await pair.server()
      #expect(try await pair.leba.group("web").primary == server)
    }
  }
}
