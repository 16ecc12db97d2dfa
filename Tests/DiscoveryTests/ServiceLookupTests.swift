import Model
import TestSupport
import Testing

@testable import Discovery

/// SRV, TXT, search domains and shared questions against real sockets.
@Suite struct ServiceLookupTests {
  private static let zone: [DNSRecord] = [
    .srv("_pg._tcp", priority: 10, weight: 5, port: 5432, target: "one", ttl: 60),
    .srv("_pg._tcp", priority: 20, weight: 1, port: 5433, target: "two", ttl: 60),
    .a("one", "192.0.2.1", ttl: 60), .a("one", "2001:db8::1", ttl: 60), .a("two", "192.0.2.2", ttl: 20),
    .txt("one", "zone=z1", "weight=3", ttl: 60), .cname("alias", "_pg._tcp", ttl: 5),
  ]

  private static let endpoints = [
    DiscoveredEndpoint(.v4(0xC000_0201), port: 5432, tier: 10, weight: 5),
    DiscoveredEndpoint(.v6(IPv6Number(0x2001_0DB8 << 96 | 1)), port: 5432, tier: 10, weight: 5),
    DiscoveredEndpoint(.v4(0xC000_0202), port: 5433, tier: 20, weight: 1),
  ]

  private func serve(additional: Bool) throws -> ProgrammableDNSServer {
    let server = try ProgrammableDNSServer { [$0.zoneAnswer] }
    server.zone = Self.zone
    server.sendAdditional(additional)
    return server
  }

  @Test(arguments: [true, false])
  func `a service is followed to the addresses of its targets`(additional: Bool) throws {
    let server = try serve(additional: additional)
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("_pg._tcp.example.test", record: .srv)
    #expect(try watcher.outcome("_pg._tcp.example.test") == .answer(Self.endpoints))
    #expect(server.queryCount(type: .srv) == 1)
    #expect(server.queryCount(type: .a) == (additional ? 0 : 2))
    #expect(server.queryCount(type: .aaaa) == (additional ? 0 : 2))
    let status = try watcher.status("_pg._tcp.example.test")
    let left = try #require(status.records.first).expires - ResolverLoop.now()
    #expect(left > .seconds(10) && left <= .seconds(20), "the smallest TTL of records and targets")
  }

  @Test func `an alias of a service shortens its TTL`() throws {
    let server = try serve(additional: true)
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("alias.example.test", record: .srv)
    #expect(try watcher.outcome("alias.example.test") == .answer(Self.endpoints))
    let next = try watcher.status("alias.example.test").nextLookup - ResolverLoop.now()
    #expect(next <= .milliseconds(5500))
  }

  @Test func `names that need the same answer share one question`() throws {
    let server = try serve(additional: false)
    // The questions for targets wait until all services have been asked for.
    server.behave { query in
      query.type == .srv ? [query.zoneAnswer] : [query.zoneAnswer.delayed(.milliseconds(300))]
    }
    server.zone = Self.zone + (0..<10).map { .srv("_s\($0)._tcp", port: 1, target: "one", ttl: 60) }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(5))
    defer { watcher.discovery.stop() }
    let names = (0..<10).map { DomainName("_s\($0)._tcp.example.test") }
    watcher.discovery.watch(names.map { DomainSpecification(domain: $0, record: .srv) })
    for name in names {
      let outcome = try watcher.outcome(name)
      guard case .answer(let endpoints) = outcome else {
        Issue.record("\(outcome)")
        return
      }
      #expect(endpoints.count == 2)
    }
    #expect(server.queryCount(type: .srv) == 10)
    #expect(server.queryCount(type: .a) == 1)
    #expect(server.queryCount(type: .aaaa) == 1)
  }

  @Test func `a name that is forgotten leaves a shared question to the others`() throws {
    let server = try serve(additional: false)
    server.behave { $0.type == .srv ? [$0.zoneAnswer] : [$0.zoneAnswer.delayed(.milliseconds(400))] }
    server.zone = Self.zone + ["_a._tcp", "_b._tcp"].map { .srv($0, port: 1, target: "two", ttl: 60) }
    let watcher = try Watcher(servers: [server.socketAddress], timeout: .seconds(5))
    defer { watcher.discovery.stop() }
    watcher.watch("_a._tcp.example.test", "_b._tcp.example.test", record: .srv)
    try eventually("the targets are asked for") { server.queryCount(type: .a) == 1 }
    watcher.watch("_b._tcp.example.test", record: .srv)
    #expect(
      try watcher.outcome("_b._tcp.example.test") == .answer([DiscoveredEndpoint(.v4(0xC000_0202), port: 1, tier: 0, weight: 1)]))
    #expect(watcher.outcomes("_a._tcp.example.test") == [])
    #expect(server.queryCount(type: .a) == 1)
  }

  @Test func `text is read beside the addresses`() throws {
    let server = try serve(additional: true)
    let watcher = try Watcher(servers: [server.socketAddress])
    defer { watcher.discovery.stop() }
    watcher.watch("one.example.test", readsText: true)
    _ = try watcher.outcome("one.example.test")
    #expect(watcher.updates.last?.attributes == TextAttributes(weight: 3, zone: "z1"))
    #expect(server.queryCount(type: .txt) == 1)
  }

  @Test func `a plain name is sought below the search domains, and only a plain one`() throws {
    let server = try serve(additional: true)
    let watcher = try Watcher(servers: [server.socketAddress], searchDomains: ["none.example.test", "example.test"])
    defer { watcher.discovery.stop() }
    watcher.watch("two", "two.dotted")
    #expect(try watcher.outcome("two") == .addresses([.v4(0xC000_0202)]))
    _ = try watcher.outcome("two.dotted")
    #expect(Set(server.queries.map(\.name)) == ["two.none.example.test", "two.example.test", "two.dotted"])
  }

  @Test func `an earlier run's answer is told when no server is there, and the listeners' addresses can change`() throws {
    let server = try serve(additional: true)
    server.behave { _ in [] }
    let watcher = try Watcher(servers: [server.socketAddress], allowed: ["127.0.0.0/8"], timeout: .milliseconds(100))
    defer { watcher.discovery.stop() }
    let old = DiscoveredEndpoint(.v4(0xC000_0209))
    watcher.discovery.watch(
      [DomainSpecification(domain: "two.example.test", ports: [80])],
      remembered: ["two.example.test": RememberedAnswer(endpoints: [old], age: .seconds(7200))])
    try eventually("the memory") { watcher.outcomes("two.example.test").first == .answer([old]) }
    #expect(watcher.updates.first?.age.map { $0 >= .seconds(7200) } ?? false)
    #expect(watcher.notices.contains { $0.kind == .servedFromMemory && $0.text.contains("2h") })

    watcher.discovery.setOwnListeners([try #require(SocketAddress("192.0.2.2:80"))])
    server.behave { [$0.zoneAnswer] }
    try eventually("our own listener is refused") {
      try watcher.status("two.example.test").refused.map(\.reason) == ["own listener"]
    }
    #expect(try watcher.status("two.example.test").addresses == [old.address])
  }
}
