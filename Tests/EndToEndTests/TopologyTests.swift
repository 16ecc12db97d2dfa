import TestSupport
import Testing

extension EndToEnd {
  /// "Topology in DNS" of the contract: SRV and TXT records of a real name server build and change groups.
  @Suite(.serialized) struct TopologyTests {
    private static func service(_ host: String, _ server: NginxServer, tier: UInt16 = 0, weight: UInt16 = 1) -> KnotServer.Record {
      .srv("_web._tcp", priority: tier, weight: weight, port: server.endpoint.port, target: host)
    }

    private static func id(_ name: String, _ server: NginxServer) -> String { "\(name).example.test:\(server.endpoint)" }

    /// Two web servers on ports of their own behind `_web._tcp.example.test`.
    private struct Service {
      let one: NginxServer
      let two: NginxServer
      let dns: KnotServer
      let leba: LebaProcess
      let listener: Endpoint

      init(_ records: (NginxServer, NginxServer) -> [KnotServer.Record], mode: String = "normal") async throws {
        one = try await NginxServer("one", host: "127.0.0.2")
        two = try await NginxServer("two", host: "127.0.0.3")
        dns = try await KnotServer(zones: [KnotServer.mainZone: records(one, two)])
        listener = .ip("127.0.0.1", try FreePorts.next())
        leba = try await LebaProcess.start(
          """
          listeners: [{name: web, address: "\(listener)", group: web}]
          \(EndToEnd.resolver(dns))
          dns_backends:
            - {domain: _web._tcp.example.test, protocol: http, group_name: web}
          failover_groups:
            - {name: web, mode: \(mode), minimum_interval: 0s}
          """)
      }

      var ids: (one: String, two: String) { (TopologyTests.id("_web._tcp", one), TopologyTests.id("_web._tcp", two)) }

      func set(_ records: KnotServer.Record...) async throws {
        try await dns.replace(TopologyTests.hosts + records)
      }

      func served(_ requests: Int = 8) async throws -> Set<String> {
        var names: Set<String> = []
        for _ in 0..<requests { names.insert(try await HTTP.get("/", from: listener).body) }
        return names
      }
    }

    private static let hosts: [KnotServer.Record] = [.a("a", "127.0.0.2"), .a("b", "127.0.0.3")]

    // MARK: SRV

    @Test func `the lowest tier of a service serves, with the ports of the records, and the next one when it is down`() async throws
    {
      let service = try await Service { one, two in
        Self.hosts + [Self.service("a", one, tier: 10), Self.service("b", two, tier: 20)]
      }
      let (one, two) = service.ids
      try await eventually("both are known and healthy") {
        let group = try await service.leba.group("web")
        return group.ids == [one, two] && group.backends.allSatisfy { $0["health"].string == "up" }
      }
      #expect(try await service.served() == ["one"])
      try await service.one.kill()
      try await eventually("the second tier serves") { try await service.served(1) == ["two"] }
      try await service.one.start()
      try await eventually("the first tier serves again") { try await service.served(4) == ["one"] }
      // The tiers change places in DNS.
      try await service.set(Self.service("a", service.one, tier: 30), Self.service("b", service.two, tier: 20))
      try await eventually("the other tier serves") { try await service.served(4) == ["two"] }
    }

    @Test func `a service's weight is its share, and zero takes nothing`() async throws {
      let service = try await Service { one, two in
        Self.hosts + [Self.service("a", one, weight: 3), Self.service("b", two, weight: 1)]
      }
      try await service.leba.untilEligible(in: "web", [service.ids.one, service.ids.two])
      var counts: [String: Int] = [:]
      for _ in 0..<40 { counts[try await HTTP.get("/", from: service.listener).body, default: 0] += 1 }
      #expect(counts == ["one": 30, "two": 10])
      try await service.set(Self.service("a", service.one, weight: 0), Self.service("b", service.two, weight: 1))
      try await eventually("only two serves") { try await service.served() == ["two"] }
    }

    @Test func `the primary of an active-passive service is the first of its lowest tier, and moves when DNS moves it`()
      async throws
    {
      let service = try await Service(
        { one, two in Self.hosts + [Self.service("a", one, tier: 10), Self.service("b", two, tier: 20)] }, mode: "active-passive")
      try await service.leba.untilPrimary(of: "web", is: service.ids.one)
      try await service.leba.untilEligible(in: "web", [service.ids.one, service.ids.two])
      try await service.set(Self.service("a", service.one, tier: 10), Self.service("b", service.two, tier: 5))
      try await service.leba.untilPrimary(of: "web", is: service.ids.two)
      let change = try await service.leba.events(of: "web").first { $0["kind"].string == "failover" }
      #expect(change?["reason_label"].string == "designation_moved")
    }

    @Test func `a target of a dot drains what is no longer named, and a return puts it back into service`() async throws {
      let service = try await Service { one, two in Self.hosts + [Self.service("a", one), Self.service("b", two)] }
      let (one, two) = service.ids
      try await service.leba.untilEligible(in: "web", [one, two])
      // A session of each, which may end in peace.
      let session = try await TCPConnection.open(service.listener)
      let served = try await onOwnThread { try HTTP.exchange("GET", "/", on: session, service.listener).body }
      try await service.set(.srv("_web._tcp", priority: 0, weight: 0, port: 0, target: "."), Self.service("b", service.two))
      try await eventually("one is drained") {
        try await service.leba.group("web").backend(one)["administrative"].string == "draining"
      }
      #expect(try await service.served() == ["two"])
      let again = try await onOwnThread { try HTTP.exchange("GET", "/", on: session, service.listener).body }
      #expect(again == served, "a session in being goes on")
      try await service.set(Self.service("a", service.one), Self.service("b", service.two))
      try await service.leba.untilEligible(in: "web", [one, two])
      #expect(try await service.served() == ["one", "two"])
    }

    @Test func `without a port in the file the group listens where its service is`() async throws {
      let server = try await NginxServer("one", host: "127.0.0.2")
      let port = server.endpoint.port
      let dns = try await KnotServer(.a("a", "127.0.0.2"), Self.service("a", server))
      let leba = try await LebaProcess.start(
        """
        \(EndToEnd.resolver(dns))
        dns_backends: [{domain: _web._tcp.example.test, protocol: http}]
        """)
      let group = "_web._tcp.example.test"
      try await leba.untilEligible(in: group, [Self.id("_web._tcp", server)])
      let listeners = try await leba.get("/api/v1/status").json["listeners"].array
      #expect(listeners.map { $0["address"].string } == ["127.0.0.1:\(port)"])
      #expect(try await HTTP.get("/", from: .ip("127.0.0.1", port)).body == "one")
    }

    // MARK: TXT

    /// Two names, each with TXT records, that nothing but DNS puts into groups. They listen where their servers do.
    private struct Names {
      let one: NginxServer
      let two: NginxServer
      let dns: KnotServer
      let leba: LebaProcess
      let port: UInt16

      init(_ a: [String], _ b: [String], file: String = "") async throws {
        port = try FreePorts.next()
        one = try await NginxServer("one", host: "127.0.0.2", port: port)
        two = try await NginxServer("two", host: "127.0.0.3", port: port)
        dns = try await KnotServer(zones: [KnotServer.mainZone: Self.records(a, b)])
        leba = try await LebaProcess.start(
          """
          \(EndToEnd.resolver(dns))
          dns_backends:
            - {domain: a.example.test, protocol: http, port: \(port), txt: true}
            - {domain: b.example.test, protocol: http, port: \(port), txt: true}
          \(file)
          """, untilReady: false)
      }

      static func records(_ a: [String], _ b: [String]) -> [KnotServer.Record] {
        TopologyTests.hosts + a.map { .txt("a", $0) } + b.map { .txt("b", $0) }
      }

      func set(_ a: [String], _ b: [String]) async throws {
        try await dns.replace(Self.records(a, b))
      }

      var ids: (one: String, two: String) { (TopologyTests.id("a", one), TopologyTests.id("b", two)) }

      func groups() async throws -> Set<String> {
        Set(try await leba.get("/api/v1/groups").json["groups"].array.compactMap { $0["name"].string })
      }

      func served() async throws -> String { try await HTTP.get("/", from: .ip("127.0.0.1", port)).body }
    }

    @Test func `DNS alone makes a group with a primary, moves the primary, and dissolves the group`() async throws {
      let names = try await Names(["group_name=orders", "is_primary=true"], ["group_name=orders"])
      let (one, two) = names.ids
      try await names.leba.untilPrimary(of: "orders", is: one)
      try await names.leba.untilEligible(in: "orders", [one, two])
      let group = try await names.leba.group("orders")
      #expect(group.json["mode"].string == "active-passive")
      #expect(try await names.groups() == ["orders"])
      #expect(try await names.served() == "one")

      try await names.set(["group_name=orders"], ["group_name=orders", "is_primary=true"])
      try await eventually("two serves") { try await names.served() == "two" }

      try await names.set(["group_name=shop"], ["group_name=shop"])
      try await eventually("the old group is gone") { try await names.groups() == ["shop"] }
      try await names.leba.untilEligible(in: "shop", [one, two])
      #expect(try await names.leba.group("shop").json["mode"].string == "normal")
      try await eventually("the new group listens where the old one did") {
        try await names.leba.get("/api/v1/status").json["listeners"].array.map { $0["group"].string } == ["shop"]
      }
      let answers: Set = [try await names.served(), try await names.served()]
      #expect(answers == ["one", "two"])

      try await names.set([], [])
      try await eventually("each has a group of its own") { try await names.groups() == ["a.example.test", "b.example.test"] }
    }

    @Test func `maintenance and weight come and go without a failed request`() async throws {
      let names = try await Names(["group_name=web"], ["group_name=web"])
      try await names.leba.untilEligible(in: "web", [names.ids.one, names.ids.two])
      let load = Load.requests(to: .ip("127.0.0.1", names.port))
      try await load.more(50)
      try await names.set(["group_name=web", "maintenance=true"], ["group_name=web"])
      try await eventually("one is in maintenance") {
        try await names.leba.group("web").backend(names.ids.one)["administrative"].string == "maintenance"
      }
      let before = load.outcomes.count
      try await load.more(100)
      #expect(Set(load.outcomes[(before + 8)...].compactMap(\.server)) == ["two"])
      try await names.set(["group_name=web"], ["group_name=web", "weight=0"])
      try await eventually("one is back, and two takes nothing") {
        Set(load.outcomes.suffix(40).compactMap(\.server)) == ["one"]
      }
      #expect(try await load.stop().compactMap(\.failure) == [])
    }

    @Test func `the file wins over DNS, and what has no effect is counted`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let dns = try await KnotServer(
        .a("a", "127.0.0.2"), .txt("a", "group_name=other"), .txt("a", "weight=9"), .txt("a", "v=spf1 -all"), .txt("a", "zone=z1"))
      let leba = try await LebaProcess.start(
        """
        \(EndToEnd.resolver(dns))
        dns_backends: [{domain: a.example.test, protocol: http, port: \(port), txt: true, group_name: web, weight: 2}]
        """)
      try await leba.untilEligible(in: "web", [Self.id("a", one)])
      let backend = try await leba.group("web").backend(Self.id("a", one))
      #expect(backend["weight"].int == 2)
      #expect(backend["zone"].string == "z1")
      let metrics = try await leba.metrics()
      #expect(metrics.value("leba_dns_ignored_attributes_total", ["reason": "overridden_by_file"]) == 2)
      #expect(metrics.value("leba_dns_ignored_attributes_total", ["reason": "unknown_key"]) == 1)
      #expect(leba.log.contains("TXT strings of 'a.example.test' have no effect"))
    }

    @Test func `a failing name server changes no group that TXT made`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let dns = try ProgrammableDNSServer(.a("a", "127.0.0.2"), .txt("a", "group_name=orders"))
      let leba = try await LebaProcess.start(
        """
        \(EndToEnd.resolver([dns.endpoint]))
        dns_backends: [{domain: a.example.test, protocol: http, port: \(port), txt: true}]
        """, untilReady: false)
      try await leba.untilEligible(in: "orders", [Self.id("a", one)])
      dns.behave { $0.type == .txt ? [$0.code(2)] : [$0.zoneAnswer] }
      let count = dns.queryCount(type: .txt)
      try await eventually("TXT fails a few times") { dns.queryCount(type: .txt) >= count + 3 }
      #expect(try await leba.group("orders").eligible == [Self.id("a", one)])
      #expect(try await HTTP.get("/", from: .ip("127.0.0.1", port)).body == "one")
    }

    /// A group may narrow what discovery lets through.
    @Test func `addresses outside of a group's allowed_cidrs are refused, and counted`() async throws {
      let port = try FreePorts.next()
      let one = try await NginxServer("one", host: "127.0.0.2", port: port)
      let dns = try await KnotServer(.a("web", "127.0.0.2"), .a("web", "127.0.0.77"))
      let leba = try await LebaProcess.start(
        """
        \(EndToEnd.resolver(dns))
        dns_backends: [{domain: web.example.test, protocol: http, port: \(port), group_name: web}]
        failover_groups: [{name: web, allowed_cidrs: ["127.0.0.0/28"]}]
        """)
      try await leba.untilEligible(in: "web", [Self.id("web", one)])
      #expect(try await leba.group("web").ids == [Self.id("web", one)])
      #expect(try await leba.metrics().value("leba_group_addresses_refused_total", ["group": "web"]) ?? 0 >= 1)
      #expect(try await leba.events(of: "web").contains { $0["kind"].string == "address_refused" })
    }
  }
}
