import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// What a sidecar remembers of its earlier life, however that ended.
  @Suite(.serialized) struct RestartTests {
    @Test func `a restart after a failover, even by SIGKILL, is no failback`() async throws {
      let pair = try await WebPair()
      try await pair.one.kill()
      try await pair.leba.untilPrimary(of: "web", is: "two")
      try await pair.one.start()
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      try await eventually("the choice is on the disk") { try stateHolds("two", in: pair.leba) }

      let second = try await pair.leba.restarted()
      try await second.untilPrimary(of: "web", is: "two")
      #expect(try await pair.server() == "two")
      let group = try await second.group("web")
      #expect(group.failoverCount == 1)
      #expect(group.json["last_failover"].string != nil)
      // The history of the first life is there, and it is whole.
      let kinds = try await second.events(of: "web").compactMap { $0["kind"].string }
      #expect(kinds.contains("failover") && kinds.contains("elected"), "\(kinds)")
      try await eventually("the history is found whole") {
        try await second.get("/api/v1/status").json["journal"]["records"].int ?? 0 >= 3
      }
      #expect(try await second.get("/api/v1/status").json["journal"]["broken_at"] == .null)
      let events = try await second.command("events", "--group", "web")
      #expect(events.status == .exited(0) && events.output.contains("failover"), "\(events)")
    }

    @Test func `an operator's choice, a drain, a group, a member and a window survive`() async throws {
      let pair = try await WebPair()
      #expect(
        try await pair.leba.post("/api/v1/groups/web/primary", "{\"backend_id\": \"two\", \"pin\": true}").status == 200)
      #expect(try await pair.leba.post("/api/v1/backends/one/drain", "{}").status == 200)
      let made = try await pair.leba.post(
        "/api/v1/groups", "{\"name\": \"made\", \"mode\": \"normal\", \"backends\": [\"two\"]}")
      #expect(made.status == 201, "\(made)")
      let extra = "127.0.0.4:\(pair.one.endpoint.port)"
      #expect(try await pair.leba.post("/api/v1/groups/web/backends", "{\"backend_id\": \"\(extra)\"}").status == 201)
      let window = "{\"id\": \"later\", \"backend\": \"one\", \"start\": \"2099-01-01T00:00:00Z\", \"duration\": \"1h\"}"
      #expect(try await pair.leba.post("/api/v1/maintenance", window).status == 201)
      try await eventually("all of it is on the disk") {
        try ["made", "later", extra, "\"pin\":true"].allSatisfy { try stateHolds($0, in: pair.leba) }
      }

      let second = try await pair.leba.restarted()
      try await second.untilPrimary(of: "web", is: "two")
      let group = try await second.group("web")
      #expect(group.json["pinned"].bool == true)
      #expect(group.backend("one")["administrative"].string == "draining")
      #expect(group.ids == ["one", "two", extra])
      #expect(try await second.group("made").ids == ["two"])
      #expect(try await second.get("/api/v1/maintenance").body.contains("\"later\""))
      // What is taken back stays taken back.
      #expect(try await second.delete("/api/v1/groups/made").status == 200)
      #expect(try await second.delete("/api/v1/maintenance/later").status == 200)
      #expect(try await second.stop() == .exited(0))
      let third = try await second.restarted()
      #expect(try await third.get("/api/v1/groups/made").status == 404)
      #expect(try await !third.get("/api/v1/maintenance").body.contains("\"later\""))
    }

    @Test func `a group made through the API outlives its primary, its members and a declaration`() async throws {
      let pair = try await WebPair()
      let declared = pair.leba.configuration
      let spare = "backends:\n  - {id: spare, address: 127.0.0.4, port: \(pair.one.endpoint.port)}\n"
      let first = try await pair.leba.restarted(on: declared.replacing("backends:\n", with: spare))
      func make(_ group: String, of backends: String, primary: String) async throws {
        let body = #"{"name": "\#(group)", "mode": "active-passive", "backends": [\#(backends)], "primary": "\#(primary)"}"#
        #expect(try await first.post("/api/v1/groups", body).status == 201)
      }
      try await make("led", of: #""one", "two""#, primary: "one")
      try await make("empty", of: #""two""#, primary: "two")
      try await make("named", of: #""spare", "two""#, primary: "spare")
      #expect(try await first.delete("/api/v1/groups/led/backends/one").status == 200)
      #expect(try await first.delete("/api/v1/groups/empty/backends/two").status == 200)
      for group in ["led", "named"] { try await first.untilPrimary(of: group, is: "two") }
      try await eventually("all of it is on the disk") {
        try [#""name":"led""#, #""backends":[]"#, #""name":"named""#].allSatisfy { try stateHolds($0, in: first) }
      }

      // And the file no longer has the spare one.
      let second = try await first.restarted(on: declared)
      for group in ["led", "named"] {
        try await second.untilPrimary(of: group, is: "two")
        #expect(try await second.group(group).ids == ["two"])
      }
      #expect(second.log.contains("the group named, made through the API by an earlier run: 'spare' is not declared anywhere"))
      #expect(try await second.group("empty").ids == [])
      #expect(try await second.post("/api/v1/groups/empty/backends", #"{"backend_id": "one"}"#).status == 201)
      try await second.untilPrimary(of: "empty", is: "one")
      // It was left out, not forgotten.
      let third = try await second.restarted(on: second.configuration.replacing("backends:\n", with: spare))
      try await third.untilPrimary(of: "named", is: "two")
      #expect(try await third.group("named").ids == ["spare", "two"])
    }

    @Test func `an occurrence of a window that was cancelled is not begun by the next life`() async throws {
      let pair = try await WebPair()
      try await pair.two.kill()
      try await eventually("two is down") { try await pair.leba.group("web").eligible == ["one"] }
      let window = #"{"id": "nightly", "backend": "one", "start": "\#(rfc3339(secondsFromNow: -5))", "duration": "1h", "#
      #expect(try await pair.leba.post("/api/v1/maintenance", window + #""repeat": "daily"}"#).status == 201)
      try await eventually("the cancellation is on the disk") { try stateHolds("\"cancelled\":", in: pair.leba) }
      try await pair.two.start()
      try await pair.leba.untilEligible(in: "web", ["one", "two"])

      let second = try await pair.leba.restarted()
      let windows = try await second.get("/api/v1/maintenance").json["windows"].array
      #expect(windows.map { $0["state"].string } == ["cancelled"], "\(windows)")
      try await second.untilEligible(in: "web", ["one", "two"])
      try await second.untilPrimary(of: "web", is: "one")
    }

    @Test func `a state directory that cannot be written is said, and traffic does not notice`() async throws {
      let pair = try await WebPair()
      #expect(try await pair.leba.stop() == .exited(0))
      let file = try pair.leba.directory.write("x", to: "not-a-directory")
      let leba = try await LebaProcess.start(pair.leba.configuration, state: file + "/state")
      try await leba.untilPrimary(of: "web", is: "one")
      #expect(try await pair.server() == "one")
      #expect(try await leba.get("/api/v1/status").json["journal"]["problem"].string != nil)
      try await pair.one.kill()
      try await leba.untilPrimary(of: "web", is: "two")
      #expect(try await leba.events(of: "web").contains { $0["kind"].string == "failover" })
    }

    /// Whether a text stands in the files of the journal: SQLite keeps texts as they are.
    private func stateHolds(_ text: String, in leba: LebaProcess) throws -> Bool {
      let directory = leba.state
      return try FileManager.default.contentsOfDirectory(atPath: directory).contains { name in
        guard name.hasPrefix("leba.sqlite") else { return false }
        let bytes = FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data()
        return bytes.range(of: Data(text.utf8)) != nil
      }
    }
  }
}
