import TestSupport
import Testing

extension EndToEnd {
  /// What a name server can do to a client. Nothing of it takes a backend away, and the next good answer is followed.
  @Suite(.serialized) struct DNSFaultTests {
    typealias Query = ProgrammableDNSServer.Query
    typealias Reply = ProgrammableDNSServer.Reply

    struct Fault: Sendable, CustomTestStringConvertible {
      let testDescription: String
      let replies: @Sendable (Query) -> [Reply]

      init(_ name: String, _ replies: @escaping @Sendable (Query) -> [Reply]) {
        testDescription = name
        self.replies = replies
      }
    }

    private static let evil: [UInt8] = [127, 0, 0, 66]

    static let faults: [Fault] = [
      Fault("drops") { _ in [] },
      Fault("SERVFAIL") { [$0.code(2)] },
      Fault("REFUSED") { [$0.code(5)] },
      Fault("counts more than there is") { [$0.answer([evil]).counting(answers: 9)] },
      Fault("counts a wrong question") { [$0.answer([evil]).counting(questions: 2)] },
      Fault("a pointer to itself") { [$0.pointerLoop()] },
      Fault("a wrong id") { [$0.answer([evil]).withID($0.id ^ 1)] },
      Fault("an answer to another question") { [$0.named("other.example.test").answer([evil])] },
      Fault("an answer from another port") { [$0.answer([evil]).fromAnotherPort()] },
      Fault("cut off") { [$0.answer([evil]).cut(to: 40)] },
      Fault("noise") { _ in [[1, 2, 3]] },
      Fault("truncated, and TCP ends after the length") { query in
        query.transport == .udp ? [query.answer([evil]).truncated()] : [query.answer([evil]).framed(.lengthAlone)]
      },
      Fault("truncated, and TCP ends within the message") { query in
        query.transport == .udp ? [query.answer([evil]).truncated()] : [query.answer([evil]).framed(.cutOff(after: 20))]
      },
      Fault("truncated, and TCP claims more than it sends") { query in
        query.transport == .udp ? [query.answer([evil]).truncated()] : [query.answer([evil]).framed(.claiming(length: 9000))]
      },
      Fault("truncated, and TCP never answers") { $0.transport == .udp ? [$0.answer([evil]).truncated()] : [] },
      Fault("a CNAME loop") { query in
        [query.answer(.cname("@", "x.example.test"), .cname("x.example.test", query.name), flags: 0x8180)]
      },
    ]

    /// Backends `one` and `two` on one port, and a sidecar that asks about `web.example.test`.
    private struct Rig {
      let one: NginxServer
      let two: NginxServer
      let leba: LebaProcess
      let listener: Endpoint
      let port: UInt16

      init(
        _ servers: [ProgrammableDNSServer], group: String = "{name: web, mode: normal}", entry: String = "",
        holdRemoved: String = "1s"
      ) async throws {
        port = try FreePorts.next()
        one = try await NginxServer("one", host: "127.0.0.2", port: port)
        two = try await NginxServer("two", host: "127.0.0.3", port: port)
        listener = .ip("127.0.0.1", try FreePorts.next())
        let resolver = EndToEnd.resolver(
          servers.map(\.endpoint), holdRemoved: holdRemoved, "minimum_ttl: 100ms", "timeout: 100ms", "retry_attempts: 0")
        leba = try await LebaProcess.start(
          """
          listeners: [{name: web, address: "\(listener)", group: web}]
          \(resolver)
          dns_backends:
            - {domain: web.example.test, protocol: http, port: \(port), group_name: web\(entry)}
          failover_groups: [\(group)]
          """)
      }

      func id(_ last: Int) -> String { "web.example.test:127.0.0.\(last):\(port)" }

      /// Waits until so many more lookups have ended.
      func moreLookups(_ count: Double, failed: Bool) async throws {
        func lookups() async throws -> Double {
          try await leba.metrics().samples.filter { sample in
            sample.name == "leba_dns_lookups_total" && ["answer", "empty"].contains(sample.labels["outcome"]) != failed
          }.map(\.value).reduce(0, +)
        }
        let before = try await lookups()
        try await eventually("\(count) more lookups") { try await lookups() >= before + count }
      }
    }

    @Test func `no fault takes a backend away, adds a wrong one, or outlasts the next good answer`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      for (number, fault) in Self.faults.enumerated() {
        dns.behave(fault.replies)
        try await rig.moreLookups(2, failed: true)
        let last = number % 2 == 0 ? 2 : 3
        #expect(try await rig.leba.group("web").eligible.contains(rig.id(last)), "\(fault)")
        #expect(try await HTTP.get("/", from: rig.listener).status == 200, "\(fault)")
        dns.set(.a("web", last == 2 ? "127.0.0.3" : "127.0.0.2", ttl: 0))
        dns.behave { [$0.zoneAnswer] }
        try await eventually("the next good answer is followed after \(fault)") {
          try await rig.leba.group("web").eligible.contains(rig.id(last == 2 ? 3 : 2))
        }
      }
      #expect(try await !rig.leba.group("web").ids.contains(rig.id(66)))
      #expect(rig.leba.isRunning)
    }

    @Test func `a forgery before the right answer, and the answer twice, change nothing`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      dns.behave { query in
        [
          query.answer([Self.evil]).withID(query.id ^ 1), query.answer([Self.evil]).fromAnotherPort(),
          query.named("other.example.test").answer([Self.evil]), query.zoneAnswer, query.zoneAnswer, query.answer([Self.evil]),
        ]
      }
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      try await rig.moreLookups(10, failed: false)
      #expect(try await rig.leba.group("web").ids == [rig.id(2)])
    }

    @Test func `truncation is followed over TCP, however the bytes come`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      dns.behave { $0.transport == .udp ? [$0.answer([Self.evil]).truncated()] : [$0.zoneAnswer.framed(.byteByByte)] }
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      #expect(try await rig.leba.group("web").ids == [rig.id(2)])
      #expect(dns.queries.contains { $0.transport == .tcp })
    }

    // MARK: Several servers

    @Test func `a dead first server costs one delay and not one per lookup, and a dead second one nothing`() async throws {
      let dead = try ProgrammableDNSServer { _ in [] }
      let good = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig([dead, good])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      try await rig.moreLookups(20, failed: false)
      // It is tried again every few seconds; once a lookup would be forty.
      #expect(dead.queries.count <= 10, "\(dead.queries.count)")
      let servers = try await rig.leba.get("/api/v1/dns/status").json["servers"].array
      #expect(servers.map { $0["address"].string } == [dead.endpoint.description, good.endpoint.description])
      #expect(servers[0]["failed"].int ?? 0 >= 1)
      #expect(try await rig.leba.domain("web.example.test")["server"].string == good.endpoint.description)
    }

    @Test func `an error of the first server is not the last word`() async throws {
      let bad = try ProgrammableDNSServer { [$0.code(5)] }
      let good = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig([bad, good])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      try await rig.moreLookups(3, failed: false)
      #expect(try await rig.leba.metrics().value("leba_dns_lookups_total", ["outcome": "refused"]) == 0)
    }

    // MARK: Sets that move

    @Test func `a wholly replaced set loses no request`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      let load = Load.requests(to: rig.listener)
      try await load.more(100)
      dns.set(.a("web", "127.0.0.3", ttl: 0))
      try await eventually("only the new one is left") { try await rig.leba.group("web").ids == [rig.id(3)] }
      try await load.more(100)
      let outcomes = try await load.stop()
      #expect(outcomes.compactMap(\.failure) == [])
      #expect(Set(outcomes.suffix(50).compactMap(\.server)) == ["two"])
    }

    @Test func `a rotating set is recognised, and its members stay`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      dns.behave { query in
        let round = Int(query.at.duration(to: .now) / .milliseconds(1)) + query.bytes.count + Int(query.id)
        return [query.answer([[127, 0, 0, UInt8(2 + round % 2)]], ttl: 0)]
      }
      try await rig.leba.untilEligible(in: "web", [rig.id(2), rig.id(3)])
      try await eventually("the rotation is recognised") {
        try await rig.leba.domain("web.example.test")["records"].array.contains { $0["named"].bool == false }
      }
      let before = try await rig.leba.metrics().value("leba_dns_backend_changes_total", ["change": "removed"])
      try await rig.moreLookups(20, failed: false)
      #expect(try await rig.leba.metrics().value("leba_dns_backend_changes_total", ["change": "removed"]) == before)
      #expect(try await rig.leba.group("web").eligible == [rig.id(2), rig.id(3)])
    }

    @Test func `answers that alternate after a switch move the primary once`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 0))
      let rig = try await Rig(
        [dns], group: "{name: web, mode: active-passive, minimum_interval: 0s}", entry: ", is_primary: true", holdRemoved: "10s")
      try await rig.leba.untilPrimary(of: "web", is: rig.id(2))
      dns.set(.a("web", "127.0.0.3", ttl: 0))
      try await rig.leba.untilPrimary(of: "web", is: rig.id(3))
      // The old answer and the new one, in turns that nothing is in step with.
      dns.behave { query in [query.answer([[127, 0, 0, UInt8(2 + Int(query.id) % 2)]], ttl: 0)] }
      try await rig.moreLookups(30, failed: false)
      #expect(try await rig.leba.group("web").primary == rig.id(3))
      #expect(try await rig.leba.group("web").failoverCount == 1)
    }

    @Test func `a failed connection asks for an early lookup`() async throws {
      let dns = try ProgrammableDNSServer(.a("web", "127.0.0.2", ttl: 3600))
      let rig = try await Rig([dns])
      try await rig.leba.untilEligible(in: "web", [rig.id(2)])
      let before = dns.queryCount(type: .a)
      dns.set(.a("web", "127.0.0.3", ttl: 3600))
      try await rig.one.kill()
      // Long before the TTL is over.
      try await rig.leba.untilEligible(in: "web", [rig.id(3)])
      #expect(dns.queryCount(type: .a) > before)
      #expect(try await HTTP.get("/", from: rig.listener).body == "two")
    }
  }
}
