import Foundation
import Model
import Testing

@testable import LebaConfiguration

/// Entries that come and go while we run.
@Suite struct EntryTests {
  private static let yaml = """
    backends: [{id: s, address: 10.0.0.1, port: 80}, {id: taken.example, address: 10.0.0.2, port: 80}]
    dns_backends:
      - {domain: p.example, port: 5432, protocol: postgres, group_name: pg, is_primary: true}
      - {domain: free.example, port: 80, txt: true}
    dns_backend_strings: ["string.example:90/http"]
    failover_groups: [{name: g, mode: normal, backends: [s, taken.example], hold_timeout: 3s}]
    """

  private func refusal(_ request: DNSEntryRequest, in topology: inout Topology) -> DNSEntryRefusal? {
    do {
      try topology.add(request)
      return nil
    } catch {
      return error
    }
  }

  @Test func `an entry with everything`() throws {
    var topology = try load(Self.yaml).topology
    let entry = try topology.add(
      DNSEntryRequest(
        domain: "New.Example.", proto: "postgres", port: 5433, record: "address", weight: 2, isPrimary: false, groupName: "pg",
        zone: "z", resolutionTimeout: "2s", resolutionInterval: "1m30s", ttl: "9s", txt: true))
    #expect(
      entry
        == DNSEntry(
          domain: "new.example", record: .address, proto: .postgres, port: 5433, weight: 2, isPrimary: false, group: "pg",
          zone: "z", lookupTimeout: .seconds(2), maximumInterval: .seconds(90), ttl: .seconds(9), readsText: true, origin: .api))
    #expect(topology.changed == ["pg"])
    #expect(topology["pg"].map(origins) == ["p.example:5432*", "new.example:5433"])
    #expect(
      topology.domains.last
        == DomainSpecification(
          domain: "new.example", readsText: true, ports: [5433], lookupTimeout: .seconds(2), maximumInterval: .seconds(90),
          ttl: .seconds(9)))
    #expect(topology.entries.map(\.domain) == ["p.example", "free.example", "string.example", "new.example"])
    #expect(topology.entries.map(\.origin) == [.file, .file, .string, .api])
  }

  @Test func `an entry joins a group of the file, makes one, or waits for DNS`() throws {
    var topology = try load(Self.yaml).topology
    try topology.add(DNSEntryRequest(domain: "a.example", port: 80, groupName: "g"))
    #expect(topology["g"].map(origins) == ["s=10.0.0.1:80", "taken.example=10.0.0.2:80", "a.example:80"])
    #expect(topology["g"]?.holdTimeout == .seconds(3))
    try topology.add(DNSEntryRequest(domain: "_b.example", isPrimary: true, groupName: "made"))
    #expect(topology["made"].map(origins) == ["_b.example*"])
    #expect(topology["made"]?.mode == .activePassive)
    try topology.add(DNSEntryRequest(domain: "c.example", port: 80))
    #expect(topology["c.example"]?.mode == .normal)
    try topology.add(DNSEntryRequest(domain: "d.example", port: 80, txt: true))
    #expect(topology.changed == [])
    _ = topology.apply(TextAttributes(group: "made"), for: "d.example")
    #expect(topology["made"].map(origins) == ["_b.example*", "d.example:80"])
    #expect(topology.groups.map(\.name) == ["g", "pg", "string.example", "made", "c.example"])
  }

  @Test func `what is added can be removed without a trace`() throws {
    var topology = try load(Self.yaml).topology
    let before = (topology.groups, topology.domains, topology.entries)
    try topology.add(DNSEntryRequest(domain: "a.example", port: 80, groupName: "pg", txt: true))
    _ = topology.apply(TextAttributes(weight: 3, mode: .normal), for: "a.example")
    try topology.add(DNSEntryRequest(domain: "b.example", port: 80, groupName: "made", txt: true))
    _ = topology.apply(TextAttributes(group: "other"), for: "b.example")
    #expect(topology.ignored != [:])
    try topology.remove("A.example")
    #expect(topology.changed == ["pg"])
    try topology.remove("b.example")
    #expect(topology.changed == ["made"])
    #expect((topology.groups, topology.domains, topology.entries) == before)
    #expect(topology.ignored == [:])
    // And it comes back as new.
    try topology.add(DNSEntryRequest(domain: "b.example", port: 80, txt: true))
    #expect(topology["b.example"] == nil)
  }

  @Test func `a domain has entries from one place`() throws {
    var topology = try load(Self.yaml).topology
    #expect(refusal(DNSEntryRequest(domain: "P.example", port: 1), in: &topology) == .exists("p.example"))
    try topology.add(DNSEntryRequest(domain: "a.example", port: 80))
    #expect(refusal(DNSEntryRequest(domain: "a.example", port: 81), in: &topology) == .exists("a.example"))
    #expect(throws: DNSEntryRefusal.declared("p.example", file: "t.yaml")) { try topology.remove("p.example") }
    #expect(throws: DNSEntryRefusal.declared("string.example", file: "t.yaml")) { try topology.remove("string.example") }
    #expect(throws: DNSEntryRefusal.unknown("x.example")) { try topology.remove("x.example") }
    #expect(
      DNSEntryRefusal.declared("p.example", file: "t.yaml").description == "'p.example' is declared in t.yaml; remove it there")
  }

  @Test(
    arguments: [
      (DNSEntryRequest(domain: "a.example"), "'port' is missing; add it, for example port: 5432"),
      (DNSEntryRequest(domain: "10.0.0.1", port: 80), "'10.0.0.1' is an address, not a DNS name; declare it under backends"),
      (DNSEntryRequest(domain: "", port: 80), "'' is not a DNS name; write names without empty labels"),
      (DNSEntryRequest(domain: "a.example", port: 70000), "'70000' is not a port; write a whole number from 1 to 65535"),
      (
        DNSEntryRequest(domain: "a.example", port: 80, ttl: "5"), "'5' has no unit; write one, for example 5s or 250ms"
      ),
      (
        DNSEntryRequest(domain: "a.example", port: 80, groupName: "a/b"),
        "'a/b' is not a name; use up to 253 letters, digits, '-', '_' and '.'"
      ),
      (
        DNSEntryRequest(domain: "${HOME}", port: 80),
        "the environment variable 'HOME' is not set; set it, or write $${HOME} if the text itself is meant"
      ),
      (DNSEntryRequest(domain: "taken.example", port: 80), "'taken.example' is also an id of backends; choose another"),
      (
        DNSEntryRequest(domain: "a.example", port: 80, isPrimary: true, groupName: "pg"),
        "the group 'pg' has a primary already, 'p.example'; leave is_primary out"
      ),
    ])
  func `an entry is held to the rules of the file`(request: DNSEntryRequest, reason: String) throws {
    var topology = try load(Self.yaml).topology
    let before = (topology.groups, topology.domains, topology.entries)
    #expect(refusal(request, in: &topology) == .invalid(reasons: [reason]))
    #expect((topology.groups, topology.domains, topology.entries) == before)
  }

  @Test func `a request survives the journal`() throws {
    let json = """
      {"domain":"a.example","group_name":"g","is_primary":true,"port":80,"protocol":"http","record":"srv",\
      "resolution_interval":"30s","resolution_timeout":"5s","ttl":"1m","txt":true,"weight":2,"zone":"z"}
      """
    let request = try JSONDecoder().decode(DNSEntryRequest.self, from: Data(json.utf8))
    #expect(
      request
        == DNSEntryRequest(
          domain: "a.example", proto: "http", port: 80, record: "srv", weight: 2, isPrimary: true, groupName: "g", zone: "z",
          resolutionTimeout: "5s", resolutionInterval: "30s", ttl: "1m", txt: true))
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    #expect(String(decoding: try encoder.encode(request), as: UTF8.self) == json)
    #expect(try JSONDecoder().decode(DNSEntryRequest.self, from: Data(#"{"domain":"b"}"#.utf8)) == DNSEntryRequest(domain: "b"))
  }

  @Test func `groups made while running can name an entry made while running`() throws {
    var configuration = try load(Self.yaml)
    try configuration.topology.add(DNSEntryRequest(domain: "a.example", port: 80))
    let group = try configuration.group(named: "new", mode: "normal", backends: ["a.example"], primary: nil)
    #expect(origins(group) == ["a.example:80"])
    try configuration.topology.remove("a.example")
    #expect(throws: GroupRefusal.self) {
      try configuration.group(named: "new", mode: "normal", backends: ["a.example"], primary: nil)
    }
  }

  @Test func `there is an end to what can be added`() throws {
    var topology = try load("zone: a").topology
    for index in 0..<Topology.mostAdded { try topology.add(DNSEntryRequest(domain: "n\(index).example", port: 80)) }
    #expect(
      refusal(DNSEntryRequest(domain: "one.more", port: 80), in: &topology)
        == .invalid(reasons: ["10000 entries were added already; remove some, or write them into t.yaml"]))
    try topology.remove("n5.example")
    try topology.add(DNSEntryRequest(domain: "one.more", port: 80))
    #expect(topology.groups.count == Topology.mostAdded)
  }
}
