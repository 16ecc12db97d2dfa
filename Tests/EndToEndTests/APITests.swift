import TestSupport
import Testing

extension EndToEnd {
  /// The requirements document's calls, commands and metrics, on a running sidecar.
  @Suite(.serialized) struct APITests {
    /// Backends that work, so that answers are about calls and not about probes.
    struct Rig {
      let first: NginxServer
      let second: NginxServer
      let leba: LebaProcess
      let listener: Endpoint

      init() async throws {
        first = try await NginxServer("backend1", host: "127.0.0.2")
        second = try await NginxServer("backend2", host: "127.0.0.3")
        listener = .ip("127.0.0.1", try FreePorts.next())
        leba = try await LebaProcess.start(
          """
          listeners: [{name: app, address: "\(listener)", group: app-servers}]
          backends:
            - {id: backend1, address: 127.0.0.2, port: \(first.endpoint.port), protocol: http}
            - {id: backend2, address: 127.0.0.3, port: \(second.endpoint.port), protocol: http}
            - {id: gone, address: 127.0.0.4, port: \(try FreePorts.next()), protocol: http}
          failover_groups:
            - {name: app-servers, mode: active-passive, backends: [backend1, backend2, gone], primary: backend1, minimum_interval: 0s}
          """)
        try await leba.untilEligible(in: "app-servers", ["backend1", "backend2"])
        try await eventually("the dead one is known") {
          try await leba.group("app-servers").backend("gone")["health"].string == "down"
        }
      }
    }

    @Test func `groups are listed and shown with the contract's fields`() async throws {
      let rig = try await Rig()
      let list = try await rig.leba.get("/api/v1/groups").json
      #expect(list["count"].int == 1)
      #expect(list["groups"][0].keys.isSuperset(of: groupKeys))
      let group = try await rig.leba.group("app-servers")
      #expect(group.json.keys.isSuperset(of: groupKeys))
      #expect(group.json["total_backends"].int == 3)
      #expect(group.json["healthy_backends"].int == 2)
      #expect(group.json["failed_backends"].int == 1)
      #expect(group.json["last_failover"] == .null)
      #expect(group.backends.count == 3)
      for backend in group.backends { #expect(backend.keys.isSuperset(of: backendKeys)) }
      #expect(group.backend("gone")["eligible"].bool == false)
      #expect(group.backend("gone")["reason"].string?.isEmpty == false)
    }

    @Test func `a group is created, led by another backend, and deleted`() async throws {
      let rig = try await Rig()
      let body = #"{"name": "made", "mode": "active-passive", "backends": ["backend1", "backend2"], "primary": "backend1"}"#
      let dry = try await rig.leba.post("/api/v1/groups?dry_run=true", body)
      #expect(dry.status < 300)
      #expect(try await rig.leba.get("/api/v1/groups/made").status == 404)

      let created = try await rig.leba.post("/api/v1/groups", body)
      #expect(created.status == 201)
      #expect(try created.json["name"].string == "made")
      try await rig.leba.untilPrimary(of: "made", is: "backend1")
      try await rig.leba.untilEligible(in: "made", ["backend1", "backend2"])

      let changed = try await rig.leba.post("/api/v1/groups/made/primary", #"{"backend_id": "backend2"}"#)
      #expect(changed.status == 200)
      #expect(try changed.json["primary_key"].string == "backend2")
      #expect(try changed.json["failover_count"].int == 1)

      let deleted = try await HTTP.send("DELETE", "/api/v1/groups/made", to: rig.leba.api)
      #expect(deleted.status == 200)
      #expect(try deleted.json == .object(["deleted": .string("made")]))
      #expect(try await rig.leba.get("/api/v1/groups/made").status == 404)
      #expect(try await rig.leba.group("app-servers").primary == "backend1")
    }

    @Test func `bad calls get a problem document that says what is wrong`() async throws {
      let rig = try await Rig()
      let groups = "/api/v1/groups"
      let whole = #"{"name": "app-servers", "mode": "normal", "backends": ["backend1"]}"#
      let cases: [(method: String, path: String, body: String?, type: String, status: Int)] = [
        ("GET", "/api/v1/groups/nowhere", nil, "", 404),
        ("GET", "/api/v1/nothing", nil, "", 404),
        ("DELETE", "/api/v1/groups/nowhere", nil, "", 404),
        ("PUT", groups, "{}", "application/json", 405),
        ("POST", groups, whole, "application/json", 409),
        ("POST", groups, "{", "application/json", 400),
        ("POST", groups, "[]", "application/json", 422),
        ("POST", groups, #"{"name": "x"}"#, "application/json", 422),
        ("POST", groups, #"{"name": "x", "mode": "sideways", "backends": ["backend1"]}"#, "application/json", 422),
        ("POST", groups, #"{"name": "x", "mode": "normal", "backends": ["ghost"]}"#, "application/json", 422),
        ("POST", groups, whole, "text/plain", 415),
        ("POST", groups, String(repeating: " ", count: 1 << 20) + whole, "application/json", 413),
        ("POST", groups + "/app-servers/primary", #"{"backend_id": "gone"}"#, "application/json", 409),
        ("POST", groups + "/app-servers/primary", #"{"backend_id": "ghost"}"#, "application/json", 404),
        ("POST", groups + "/nowhere/primary", #"{"backend_id": "backend1"}"#, "application/json", 404),
        ("POST", groups + "/app-servers/primary?dry_run=perhaps", #"{"backend_id": "backend2"}"#, "application/json", 400),
      ]
      for bad in cases {
        let what = "\(bad.method) \(bad.path) \(bad.body?.prefix(80) ?? "")"
        let answer = try await HTTP.send(
          bad.method, bad.path, body: bad.body, headers: bad.type.isEmpty ? [:] : ["Content-Type": bad.type], to: rig.leba.api)
        #expect(answer.status == bad.status, "\(what): \(answer.body)")
        #expect(answer.headers["content-type"] == "application/problem+json", "\(what)")
        let problem = try answer.json
        #expect(problem.keys.isSuperset(of: ["type", "title", "status", "detail"]), "\(what)")
        #expect(problem["status"].int == answer.status, "\(what)")
        #expect(problem["detail"].string?.isEmpty == false, "\(what)")
      }
      // None of them changed anything.
      #expect(try await rig.leba.get(groups).json["count"].int == 1)
      #expect(try await rig.leba.group("app-servers").primary == "backend1")
    }

    @Test func `a foreign page cannot call the API through a browser`() async throws {
      let rig = try await Rig()
      let refused: [[String: String]] = [
        ["Host": "evil.example.com"], ["Origin": "http://evil.example.com"], ["Sec-Fetch-Site": "cross-site"],
      ]
      for headers in refused {
        let answer = try await HTTP.send("GET", "/api/v1/groups", headers: headers, to: rig.leba.api)
        #expect(answer.status == 403, "\(headers)")
        #expect(answer.headers["content-type"] == "application/problem+json", "\(headers)")
      }
      for host in ["localhost:\(rig.leba.api.port)", "127.0.0.1", "localhost"] {
        #expect(try await HTTP.send("GET", "/api/v1/groups", headers: ["Host": host], to: rig.leba.api).status == 200, "\(host)")
      }
    }

    @Test func `what is not HTTP at all does no harm`() async throws {
      let rig = try await Rig()
      let noise = [
        "\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "POST /api/v1/groups HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      ]
      for bytes in noise {
        let connection = try await TCPConnection.open(rig.leba.api)
        try await connection.sending(bytes)
        connection.finishSending()
        _ = try? await connection.receivedTextToEnd()
      }
      #expect(try await rig.leba.get("/health/live").status == 200)
    }

    /// The commands of FAILOVER.md as printed; only the port is this test's.
    @Test func `the two diagnostic curl commands work as printed`() async throws {
      let rig = try await Rig()
      func shell(_ command: String) async throws -> CommandResult {
        try await run("bash", ["-c", command.replacing("localhost:8080", with: "localhost:\(rig.leba.api.port)")])
      }
      let status = try await shell("curl http://localhost:8080/api/v1/groups/app-servers")
      #expect(status.status == .exited(0))
      #expect(try JSON(text: status.output)["primary_key"].string == "backend1")

      let forced = try await shell(
        #"""
        curl -X POST -H "Content-Type: application/json" \
          -d '{"backend_id": "backend2"}' \
          http://localhost:8080/api/v1/groups/app-servers/primary
        """#)
      #expect(forced.status == .exited(0))
      #expect(try JSON(text: forced.output)["primary_key"].string == "backend2")
      #expect(try await HTTP.get("/", from: rig.listener).body == "backend2")
    }

    @Test func `the metrics have the requirements document's five`() async throws {
      let rig = try await Rig()
      _ = try await rig.leba.post("/api/v1/groups/app-servers/primary", #"{"backend_id": "backend2"}"#)
      let response = try await rig.leba.get("/metrics")
      #expect(response.headers["content-type"]?.hasPrefix("text/plain") == true)
      let metrics = Metrics(text: response.body)
      let group = ["group": "app-servers"]
      #expect(metrics.value("leba_failover_events_total", group) == 1)
      let seconds = try #require(metrics.value("leba_failover_seconds_since_last", group))
      #expect(seconds >= 0 && seconds.isFinite)
      #expect(metrics.value("leba_group_primary", ["group": "app-servers", "backend": "backend2"]) == 1)
      #expect(metrics.value("leba_group_primary", ["group": "app-servers", "backend": "backend1"]) != 1)
      #expect(metrics.value("leba_group_healthy_backends", group) == 2)
      #expect(metrics.value("leba_group_failed_backends", group) == 1)
    }

    @Test func `status and health answer`() async throws {
      let rig = try await Rig()
      #expect(try await rig.leba.get("/health/live").status == 200)
      #expect(try await rig.leba.get("/health/ready").status == 200)
      let status = try await rig.leba.get("/api/v1/status")
      #expect(status.status == 200)
      #expect(try status.json["state"].string == "ready")
    }

    @Test func `the command line shows and changes what the API does`() async throws {
      let rig = try await Rig()
      let status = try await rig.leba.command("status")
      #expect(status.status == .exited(0))
      for word in ["app-servers", "backend1", "backend2", "gone"] { #expect(status.output.contains(word)) }
      let json = try await rig.leba.command("status", "--json")
      #expect(try JSON(text: json.output)["groups"][0]["name"].string == "app-servers")

      let dry = try await rig.leba.command("failover", "app-servers", "backend2", "--dry-run")
      #expect(dry.status == .exited(0))
      #expect(try await rig.leba.group("app-servers").primary == "backend1")
      #expect(try await rig.leba.command("failover", "app-servers", "backend2").status == .exited(0))
      #expect(try await HTTP.get("/", from: rig.listener).body == "backend2")

      // Refused by the API: 1, with its reason. No API there: 3. Wrong usage: 2.
      let refused = try await rig.leba.command("failover", "app-servers", "gone")
      #expect(refused.status == .exited(1))
      #expect(refused.errorOutput.contains("gone"))
      #expect(try await rig.leba.command("failover", "nowhere", "backend1").status == .exited(1))
      #expect(try await LebaProcess.command("status", "--api", "http://127.0.0.1:\(try FreePorts.next())").status == .exited(3))
      #expect(try await LebaProcess.command("failover", "app-servers").status == .exited(2))

      #expect(try await rig.leba.command("failover", "app-servers", "gone", "--force").status == .exited(0))
      #expect(try await rig.leba.group("app-servers").primary == "gone")
    }
  }
}
