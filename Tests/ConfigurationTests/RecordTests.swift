import Model
import Testing

@testable import LebaConfiguration

/// Which records a name is asked for, and what the file may leave to them.
@Suite struct RecordTests {
  @Test func `a name that begins with an underscore is asked for SRV`() throws {
    let configuration = try load(
      """
      dns_backends:
        - {domain: _pg._tcp.example, protocol: postgres, group_name: pg}
        - {domain: _web.example, port: 80, record: address}
        - {domain: db.example, record: srv, port: 5432, txt: true, weight: 3, group_name: db}
      dns_backend_strings: ["_http._tcp.example:80/http"]
      """)
    #expect(configuration.groups.map(\.name) == ["pg", "_web.example", "db", "_http._tcp.example"])
    let members = configuration.groups.map { $0.members[0] }
    #expect(members.map(\.record) == [.srv, .address, .srv, .srv])
    #expect(
      members.map(\.origin) == [
        .domain("_pg._tcp.example", port: nil), .domain("_web.example", port: 80), .domain("db.example", port: 5432),
        .domain("_http._tcp.example", port: 80),
      ])
    #expect(members.map(\.weight) == [nil, nil, 3, nil])
    // What an SRV name connects to is not known from the file.
    #expect(
      configuration.domains == [
        DomainSpecification(domain: "_pg._tcp.example", record: .srv),
        DomainSpecification(domain: "_web.example", ports: [80]),
        DomainSpecification(domain: "db.example", record: .srv, readsText: true),
        DomainSpecification(domain: "_http._tcp.example", record: .srv),
      ])
    // A given port says where the group listens.
    #expect(configuration.listeners.map(\.address.description) == ["127.0.0.1:80", "127.0.0.1:5432"])
  }

  @Test(
    arguments: [
      Case(
        "an address needs a port", RuleTests.domain("domain: a.example, record: address"),
        "2:5: error: 'port' is missing; add it, for example port: 5432"),
      Case(
        "an SRV port may be wrong", RuleTests.domain("domain: _a.example, port: 0"),
        "2:32: error: '0' is not a port; write a whole number from 1 to 65535"),
      Case(
        "a record that cannot be read needs no port", RuleTests.domain("domain: a.example, record: src"),
        "2:33: error: 'src' is not a kind of record; use address or srv"),
      Case(
        "two records for one domain",
        """
        dns_backends:
          - {domain: a.example, port: 80, group_name: g}
          - {domain: A.example., record: srv, group_name: h}
        """,
        "3:5: error: 'a.example' has record: srv here and address at 2:5; use the same for all entries of a domain"),
      Case(
        "an SRV name twice in a group",
        """
        dns_backends:
          - {domain: _a.example, port: 80, group_name: g}
          - {domain: _a.example, port: 81, group_name: g}
        """,
        "3:5: error: '_a.example' is already in the group 'g'; remove one of the entries"),
      Case(
        "txt", RuleTests.domain("domain: a.example, port: 80, txt: 1"),
        "2:40: error: '1' is neither true nor false; write true or false"),
      Case(
        "a free endpoint twice",
        """
        dns_backends:
          - {domain: a.example, port: 80, txt: true}
          - {domain: a.example, port: 81, txt: true}
          - {domain: a.example, port: 80, txt: true}
        """,
        "4:5: error: 'a.example' is already declared with this port (2:5); remove one of the entries"),
      Case(
        "seven search domains", "dns_resolver: {search: [a, b.example, c, d, e, f, g, h]}",
        "1:51: error: 'search' has more than 6 domains, and each may cost a lookup; keep those in which the names really are"),
      Case(
        "a search domain", "dns_resolver: {search: [\"a b\"]}",
        "1:25: error: 'a b' is not a DNS name; use letters, digits and '-' between dots"),
      Case(
        "a group's ranges", RuleTests.group("name: g, mode: normal, backends: [a], allowed_cidrs: [10.0.0.0]"),
        "3:60: error: '10.0.0.0' is not a range of addresses; write for example 10.0.0.0/8 or fd00::/8"),
    ])
  func `what is wrong is said with its place`(_ example: Case) {
    #expect(diagnostics(example.yaml).filter { !$0.contains(": warning:") } == example.expected)
  }

  @Test func `entries of one domain read its strings when one of them does`() throws {
    let domains = try load(
      """
      dns_backends:
        - {domain: a.example, port: 80, group_name: g}
        - {domain: a.example, port: 81, group_name: g, txt: true}
      """
    ).domains
    #expect(domains == [DomainSpecification(domain: "a.example", readsText: true, ports: [80, 81])])
  }

  @Test func `search domains and ranges are kept in their order`() throws {
    let configuration = try load(
      """
      dns_resolver: {search: [B.Example., a.example]}
      dns_backends: [{domain: db, port: 80, group_name: g}]
      failover_groups: [{name: g, allowed_cidrs: ["10.1.0.0/16", "fd00::/8"]}]
      """)
    #expect(configuration.resolver.searchDomains == ["b.example", "a.example"])
    #expect(configuration.groups[0].allowedRanges == [AddressRange("10.1.0.0/16"), AddressRange("fd00::/8")])
    #expect(try load(twoBackends).groups[0].allowedRanges == [])
    #expect(try load(twoBackends).resolver.searchDomains == [])
  }

  @Test(
    arguments: [
      "{domain: _pg._tcp.example, group_name: pg}", "{domain: a.example, port: 1, group_name: pg, txt: true}",
    ])
  func `records can name the primary of an active-passive group`(entry: String) throws {
    let group = try load("dns_backends: [\(entry)]\nfailover_groups: [{name: pg, mode: active-passive}]").groups[0]
    #expect(group.mode == .activePassive)
    #expect(group.members.map(\.isPrimary) == [false])
  }

  @Test(
    arguments: [
      "{domain: a.example, port: 1, group_name: pg}", "{domain: a.example, port: 1, group_name: pg, txt: true, is_primary: false}",
    ])
  func `an entry that rules it out leaves an active-passive group without a primary`(entry: String) {
    #expect(
      diagnostics("dns_backends: [\(entry)]\nfailover_groups: [{name: pg, mode: active-passive}]") == [
        "2:26: error: the active-passive group 'pg' has no primary; add for example primary: a.example"
      ])
  }
}
