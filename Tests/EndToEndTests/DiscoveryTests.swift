import TestSupport
import Testing

extension EndToEnd {
  /// Names become backends, and only what DNS says changes them.
  @Suite(.serialized) struct DiscoveryTests {
    /// One web server per address, all on one port, as hosts behind a name are.
    private static func start(
      _ dns: KnotServer, port: UInt16, holdRemoved: String = "1s"
    ) async throws -> (leba: LebaProcess, listener: Endpoint) {
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        \(EndToEnd.resolver(dns, holdRemoved: holdRemoved))
        dns_backends:
          - {domain: web.example.test, protocol: http, port: \(port), group_name: web}
        """)
      return (leba, listener)
    }

    private static func id(_ address: String, _ port: UInt16) -> String { "web.example.test:\(address):\(port)" }

    @Test func `a name is resolved, follows a change, and loses its backend when the name is removed`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let two = try await NginxServer("two", host: "127.0.0.3", port: port)
      let dns = try await KnotServer(.a("web", "127.0.0.2"))
      let (leba, listener) = try await Self.start(dns, port: port)

      try await leba.untilEligible(in: "web", [Self.id("127.0.0.2", port)])
      #expect(try await HTTP.get("/", from: listener).body == one.name)

      try await dns.set(.a("web", "127.0.0.2"), .a("web", "127.0.0.3"))
      try await leba.untilEligible(in: "web", [Self.id("127.0.0.2", port), Self.id("127.0.0.3", port)])
      // Round robin: two requests in a row meet both.
      let served: Set = [try await HTTP.get("/", from: listener).body, try await HTTP.get("/", from: listener).body]
      #expect(served == [one.name, two.name])

      try await dns.set(.a("web", "127.0.0.3"))
      try await leba.untilEligible(in: "web", [Self.id("127.0.0.3", port)])
      #expect(try await HTTP.get("/", from: listener).body == two.name)

      try await dns.set(.a("unrelated", "127.0.0.9"))
      try await eventually("the group is empty") { try await leba.group("web").backends.isEmpty }
      #expect(try await leba.metrics().value("leba_dns_backend_changes_total", ["change": "removed"]) == 2)
    }

    @Test func `a backend that DNS no longer names stays for hold_removed`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let two = try await NginxServer("two", host: "127.0.0.3", port: port)
      let dns = try await KnotServer(.a("web", "127.0.0.2"), .a("web", "127.0.0.3"))
      let (leba, _) = try await Self.start(dns, port: port, holdRemoved: "10m")
      try await leba.untilEligible(in: "web", [Self.id("127.0.0.2", port), Self.id("127.0.0.3", port)])

      try await dns.set(.a("web", "127.0.0.3"))
      try await eventually("one is absent") {
        try await leba.group("web").backend(Self.id("127.0.0.2", port))["discovered"].string?.hasPrefix("absent") == true
      }
      #expect(try await leba.group("web").ids.count == 2)

      // What is absent and dead as well has no reason to stay.
      try await one.kill()
      try await eventually("one is gone") { try await leba.group("web").ids == [Self.id("127.0.0.3", port)] }
      withExtendedLifetime(two) {}
    }

    @Test func `the TTL of an answer is respected, as the DNS server counts it`() async throws {
      let port = try FreePorts.next()
      let server = try await NginxServer("one", host: "127.0.0.2", port: port)
      // A zone for each name, because queries are counted per zone. Long negative answers keep AAAA out of the count.
      let dns = try await KnotServer(
        zones: ["short.test": [.a("web", "127.0.0.2", ttl: 2)], "long.test": [.a("web", "127.0.0.2", ttl: 3600)]],
        negativeTTL: 3600)
      let leba = try await LebaProcess.start(
        """
        listeners:
          - {name: short, address: "127.0.0.1:\(try FreePorts.next())", group: short}
          - {name: long, address: "127.0.0.1:\(try FreePorts.next())", group: long}
        \(EndToEnd.resolver(dns))
        dns_backends:
          - {domain: web.short.test, protocol: http, port: \(port), group_name: short}
          - {domain: web.long.test, protocol: http, port: \(port), group_name: long}
        """)
      try await leba.untilEligible(in: "short", ["web.short.test:127.0.0.2:\(port)"])
      try await leba.untilEligible(in: "long", ["web.long.test:127.0.0.2:\(port)"])

      let clock = ContinuousClock()
      let first = try await dns.queryCount(type: "A", in: "short.test")
      let start = clock.now
      try await eventually("three more lookups of the short name") {
        try await dns.queryCount(type: "A", in: "short.test") >= first + 3
      }
      // Three refreshes are at least two whole TTLs apart from first to last, less the jitter of a tenth each.
      #expect(clock.now - start >= .seconds(2 * 2 * 0.85))
      #expect(try await dns.queryCount(type: "A", in: "long.test") == 1)
      withExtendedLifetime((server, leba)) {}
    }

    @Test func `a DNS server that is down, then frozen, takes nothing away, and is followed again when it is back`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let two = try await NginxServer("two", host: "127.0.0.3", port: port)
      let dns = try await KnotServer(.a("web", "127.0.0.2"))
      let (leba, listener) = try await Self.start(dns, port: port)
      try await leba.untilEligible(in: "web", [Self.id("127.0.0.2", port)])

      func untilMoreLookupsFail() async throws {
        func failures() async throws -> Double {
          let lookups = try await leba.metrics().samples.filter { $0.name == "leba_dns_lookups_total" }
          return lookups.filter { !["answer", "empty"].contains($0.labels["outcome"]) }.map(\.value).reduce(0, +)
        }
        let before = try await failures()
        try await eventually("lookups fail") { try await failures() >= before + 2 }
      }

      try await dns.stop()
      try await untilMoreLookupsFail()
      #expect(try await HTTP.get("/", from: listener).body == one.name)
      #expect(try await leba.group("web").ids == [Self.id("127.0.0.2", port)])

      try await dns.start()
      dns.freeze()
      try await untilMoreLookupsFail()
      #expect(try await HTTP.get("/", from: listener).body == one.name)
      #expect(try await leba.group("web").ids == [Self.id("127.0.0.2", port)])

      dns.thaw()
      try await dns.set(.a("web", "127.0.0.3"))
      try await leba.untilEligible(in: "web", [Self.id("127.0.0.3", port)])
      #expect(try await HTTP.get("/", from: listener).body == two.name)
    }

    @Test func `a DNS server that is not there at the start is waited for`() async throws {
      let port = try FreePorts.next()
      let server = try await NginxServer("one", host: "127.0.0.2", port: port)
      let dns = try await KnotServer(.a("web", "127.0.0.2"))
      try await dns.stop()
      let listener = Endpoint.ip("127.0.0.1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        \(EndToEnd.resolver(dns))
        dns_backends:
          - {domain: web.example.test, protocol: http, port: \(port), group_name: web, resolution_timeout: 1s}
        """, untilReady: false)
      let waiting = Task { try await HTTP.get("/", from: listener).body }
      try await eventually("somebody waits") { try await leba.metrics().value("leba_connections_held", ["group": "web"]) == 1 }
      try await eventually("the failure is said and counted") {
        let lookups = try await leba.metrics().samples.filter { $0.name == "leba_dns_lookups_total" && $0.value > 0 }
        return leba.log.contains("web.example.test") && lookups.contains { $0.labels["outcome"] != "answer" }
      }
      try await dns.start()
      #expect(try await waiting.value == server.name)
    }

    @Test func `a CNAME chain and an IPv6 address are followed, and an IPv6 listener serves`() async throws {
      let port = try FreePorts.next()
      let server = try await NginxServer("six", host: "::1", port: port)
      let dns = try await KnotServer(.cname("web", "middle"), .cname("middle", "end"), .a("end", "::1"))
      let listener = Endpoint.ip("::1", try FreePorts.next())
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        \(EndToEnd.resolver(dns))
        dns_backends:
          - {domain: web.example.test, protocol: http, port: \(port), group_name: web}
        """)
      try await leba.untilEligible(in: "web", ["web.example.test:[::1]:\(port)"])
      #expect(try await HTTP.get("/", from: listener).body == server.name)
    }

    @Test func `loopback answers are refused where the configuration does not open the range`() async throws {
      let port = try FreePorts.next()
      let dns = try await KnotServer(.a("web", "127.0.0.2"))
      let leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "127.0.0.1:\(try FreePorts.next())", group: web}]
        dns_resolver: {servers: ["\(dns.endpoint)"]}
        dns_backends:
          - {domain: web.example.test, protocol: http, port: \(port), group_name: web}
        """, untilReady: false)
      try await eventually("the refusal is counted") {
        (try await leba.metrics().value("leba_dns_addresses_refused_total") ?? 0) >= 1
      }
      #expect(try await leba.group("web").backends.isEmpty)
    }
  }
}
