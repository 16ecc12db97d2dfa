import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// Seeing what discovery knows, and changing what it watches: `/api/v1/dns` and `leba resolve`.
  @Suite(.serialized) struct DNSInspectionTests {
    private static let records: [KnotServer.Record] = [
      .a("web", "127.0.0.2", ttl: 30), .cname("alias", "web", ttl: 7), .a("loop", "169.254.169.254"), .txt("web", "zone=z1"),
      .srv("_pg._tcp", priority: 5, weight: 9, port: 5432, target: "web"),
    ]

    private static func start(_ dns: KnotServer, _ entries: String = "") async throws -> LebaProcess {
      try await LebaProcess.start(
        """
        \(EndToEnd.resolver(dns))
        dns_backends:
          - {domain: web.example.test, protocol: tcp, port: \(try FreePorts.next()), group_name: web}
        \(entries)
        """, untilReady: false)
    }

    @Test func `the status of a name tells records, TTL, next refresh, outcome, server and age`() async throws {
      let dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records])
      let leba = try await Self.start(dns)
      try await eventually("it is resolved") { try await leba.domain("web.example.test")["outcome"].string == "answer" }
      let domain = try await leba.domain("web.example.test")
      #expect(domain["records"].array.map { $0["address"].string } == ["127.0.0.2"])
      let left = try #require(domain["ttl_left_seconds"].number)
      #expect(left > 0 && left <= 30)
      let next = try #require(domain["next_refresh_seconds"].number)
      #expect(next > 0 && next <= 33)
      #expect(domain["age_seconds"].number ?? -1 >= 0)
      #expect(domain["server"].string == dns.endpoint.description)
      #expect(domain["source"].string == "dns")
      #expect(Set(domain["questions"].array.compactMap { $0["type"].string }) == ["A", "AAAA"])
    }

    @Test func `a refresh asks before the TTL is over, and an unknown name is refused`() async throws {
      let dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records])
      let leba = try await Self.start(dns)
      try await eventually("it is resolved") { try await leba.domain("web.example.test")["outcome"].string == "answer" }
      for body in ["", "{}", #"{"domain": "web.example.test"}"#] {
        let before = try await dns.queryCount(type: "A")
        let answer = try await leba.post("/api/v1/dns/refresh", body)
        #expect(answer.status == 200)
        #expect(try answer.json["refreshing"].array.map(\.string) == ["web.example.test"])
        try await eventually("it is asked again") { try await dns.queryCount(type: "A") > before }
      }
      #expect(try await leba.post("/api/v1/dns/refresh", #"{"domain": "nowhere.example.test"}"#).status == 404)
      #expect(try await leba.post("/api/v1/dns/refresh", #"{"domain": 7}"#).status == 422)
    }

    @Test func `entries are listed, added, refused and removed`() async throws {
      let dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records])
      let leba = try await Self.start(dns)
      let list = try await leba.get("/api/v1/dns/backends").json
      #expect(list["count"].int == 1)
      #expect(list["dns_backends"][0]["domain"].string == "web.example.test")
      #expect(list["dns_backends"][0]["origin"].string == "file")

      let entry = #"{"domain": "alias.example.test", "protocol": "tcp", "port": 9, "group_name": "more", "ttl": "20s"}"#
      #expect(try await leba.post("/api/v1/dns/backends?dry_run=true", entry).status == 200)
      #expect(try await leba.get("/api/v1/groups/more").status == 404)
      let made = try await leba.post("/api/v1/dns/backends", entry)
      #expect(made.status == 201)
      #expect(try made.json["ttl"].string == "20s")
      #expect(try made.json["origin"].string == "api")
      try await eventually("its group has a member") {
        try await leba.group("more").ids == ["alias.example.test:127.0.0.2:9"]
      }
      #expect(try await leba.post("/api/v1/dns/backends", entry).status == 409)
      for (body, status) in [
        (#"{"domain": "a b", "port": 1}"#, 422), (#"{"domain": "x.test"}"#, 422), (#"{"port": 1}"#, 422),
        (#"{"domain": "x.test", "port": 99999}"#, 422), (#"{"domain": "x.test", "port": 1, "colour": "red"}"#, 422), ("[", 400),
      ] {
        #expect(try await leba.post("/api/v1/dns/backends", body).status == status, "\(body)")
      }
      #expect(try await leba.delete("/api/v1/dns/backends/web.example.test").status == 409, "it is the file's")
      #expect(try await leba.delete("/api/v1/dns/backends/nowhere.test").status == 404)
      #expect(try await leba.delete("/api/v1/dns/backends/alias.example.test").status == 200)
      #expect(try await leba.get("/api/v1/dns/backends").json["count"].int == 1)
      #expect(try await leba.get("/api/v1/groups/more").status == 404)
    }

    // MARK: leba resolve

    @Test func `resolve looks a name up as the sidecar would`() async throws {
      let dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records])
      let directory = try TemporaryDirectory()
      try directory.write(
        """
        \(EndToEnd.resolver(dns))
        dns_backends: [{domain: web.example.test, port: 80, txt: true, group_name: web}]
        """, to: "config.yaml")

      let address = try await LebaProcess.command("resolve", "web.example.test", in: directory.path)
      #expect(address.status == .exited(0))
      #expect(address.output.contains("web.example.test: answer from \(dns.endpoint)"))
      #expect(address.output.contains("127.0.0.2") && address.output.contains("30s"))
      #expect(address.output.contains("zone=z1"), "the file says that TXT is read")

      let alias = try await LebaProcess.command("resolve", "alias.example.test", "--json", in: directory.path)
      let json = try JSON(text: alias.output)
      #expect(json["records"].array.map { $0["address"].string } == ["127.0.0.2"])
      let left = json["ttl_left_seconds"].number ?? 0
      #expect(left > 6 && left <= 7, "the smallest of the chain")

      let service = try await LebaProcess.command("resolve", "_pg._tcp.example.test", "--json", in: directory.path)
      let record = try JSON(text: service.output)["records"][0]
      #expect(record["port"].int == 5432 && record["tier"].int == 5 && record["weight"].int == 9)

      let none = try await LebaProcess.command("resolve", "none.example.test", in: directory.path)
      #expect(none.status == .exited(1))
      #expect(none.output.contains("empty") && none.output.contains("NXDOMAIN"))
      let refused = try await LebaProcess.command("resolve", "loop.example.test", in: directory.path)
      #expect(refused.status == .exited(1))
      #expect(refused.output.contains("169.254.169.254 (link-local)"))
      #expect(try await LebaProcess.command("resolve", in: directory.path).status == .exited(2))
      #expect(try await LebaProcess.command("resolve", "x", "--config", "missing.yaml", in: directory.path).status == .exited(2))
    }

    @Test func `resolve asks a running sidecar where one is named`() async throws {
      let dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records])
      let leba = try await Self.start(dns)
      try await eventually("it is resolved") { try await leba.domain("web.example.test")["outcome"].string == "answer" }
      let known = try await leba.command("resolve", "WEB.example.test.")
      #expect(known.status == .exited(0))
      #expect(known.output.contains("127.0.0.2"))
      #expect(try await leba.command("resolve", "nowhere.example.test").status == .exited(1))
      let nobody = try await LebaProcess.command("resolve", "x", "--api", "http://127.0.0.1:\(try FreePorts.next())")
      #expect(nobody.status == .exited(3))
    }
  }
}
