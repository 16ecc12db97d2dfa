import Model
import Testing

@testable import LebaConfiguration

/// What DNS may say of groups, and where the file wins.
@Suite struct TopologyTests {
  private func topology(_ entries: String..., groups: String = "") throws -> Topology {
    let list = entries.map { "  - {\($0)}\n" }.joined()
    return try load("dns_backends:\n" + list + groups).topology
  }

  private func shape(_ topology: Topology) -> [String] {
    topology.groups.map { "\($0.name) \($0.mode.rawValue) \(origins($0).joined(separator: " "))" }
  }

  private func ignored(_ topology: Topology, _ domain: DomainName = "a.example") -> [String: Int] {
    var counts: [String: Int] = [:]
    for (text, count) in topology.ignored[domain] ?? [:] { counts["\(text.key.rawValue) \(text.reason.rawValue)"] = count }
    return counts
  }

  @Test func `a free entry has no group before DNS was asked`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true", "domain: b.example, port: 81")
    #expect(shape(topology) == ["b.example normal b.example:81"])
    #expect(topology.apply(nil, for: "a.example") == true)
    #expect(shape(topology) == ["b.example normal b.example:81", "a.example normal a.example:80"])
    #expect(topology.changed == ["a.example"])
    #expect(topology.apply(nil, for: "a.example") == false)
    #expect(topology.apply(TextAttributes(), for: "a.example") == false)
  }

  @Test func `DNS makes, moves and dissolves a group`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true", "domain: b.example, port: 80, txt: true")
    #expect(topology.apply(TextAttributes(isPrimary: true, group: "pg"), for: "b.example") == true)
    #expect(shape(topology) == ["pg active-passive b.example:80*"])
    #expect(topology.apply(TextAttributes(group: "pg"), for: "a.example") == true)
    #expect(shape(topology) == ["pg active-passive a.example:80 b.example:80*"])
    #expect(topology.apply(TextAttributes(group: "other"), for: "b.example") == true)
    #expect(topology.changed == ["pg", "other"])
    #expect(shape(topology) == ["pg active-passive a.example:80", "other normal b.example:80"])
    #expect(topology.apply(TextAttributes(), for: "a.example") == true)
    #expect(topology.changed == ["pg", "a.example"])
    #expect(topology["pg"] == nil && topology["a.example"] != nil)
    #expect(shape(topology) == ["a.example normal a.example:80", "other normal b.example:80"])
    #expect(topology.ignored == [:])
  }

  @Test func `TXT that was not answered takes nothing back`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true")
    _ = topology.apply(TextAttributes(group: "pg"), for: "a.example")
    #expect(topology.apply(nil, for: "a.example") == false)
    #expect(shape(topology) == ["pg normal a.example:80"])
  }

  @Test func `only entries that say txt listen to DNS`() throws {
    var topology = try topology("domain: a.example, port: 80", "domain: a.example, port: 81, group_name: g, txt: true")
    #expect(topology.apply(TextAttributes(maintenance: true), for: "unknown.example") == false)
    #expect(topology.apply(TextAttributes(weight: 7, maintenance: true), for: "a.example") == true)
    #expect(topology.changed == ["g"])
    #expect(topology["a.example"]?.members.map(\.maintenance) == [false])
    #expect(topology["g"]?.members.map(\.maintenance) == [true])
    #expect(topology["g"]?.members.map(\.weight) == [7])
    #expect(topology.apply(TextAttributes(), for: "a.example") == true)
    #expect(topology["g"]?.members.map(\.maintenance) == [false])
    #expect(topology["g"]?.members.map(\.weight) == [nil])
  }

  @Test func `the file wins key by key`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, txt: true, group_name: g, weight: 2, is_primary: false",
      groups: "failover_groups: [{name: g, mode: normal, hold_timeout: 1s}]")
    let before = topology.groups
    let attributes = TextAttributes(
      isPrimary: true, group: "other", weight: 9, zone: "z", mode: .activePassive, maintenance: true)
    #expect(topology.apply(attributes, for: "a.example") == true)
    var expected = before
    expected[0].members[0].zone = "z"
    expected[0].members[0].maintenance = true
    #expect(topology.groups == expected)
    let overridden = ["is_primary", "group_name", "weight", "mode"].map { ("\($0) overridden_by_file", 1) }
    #expect(ignored(topology) == Dictionary(uniqueKeysWithValues: overridden))
    // The same once more is no news.
    #expect(topology.apply(attributes, for: "a.example") == false)
    #expect(ignored(topology)["weight overridden_by_file"] == 1)
    #expect(topology.apply(TextAttributes(weight: 8), for: "a.example") == true)
    #expect(ignored(topology)["weight overridden_by_file"] == 2)
    #expect(ignored(topology)["mode overridden_by_file"] == 1)
    #expect(topology.groups == before)
  }

  @Test func `a zone of the file stays`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true, group_name: g, zone: here")
    #expect(topology.apply(TextAttributes(zone: "there"), for: "a.example") == false)
    #expect(topology.groups[0].members[0].zone == "here")
    #expect(ignored(topology) == ["zone overridden_by_file": 1])
  }

  @Test func `a group of the file takes in what DNS moves, under its own settings`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, protocol: http, txt: true",
      groups: """
        backends: [{id: s, address: 10.0.0.1, port: 80}]
        failover_groups:
          - {name: g, mode: normal, backends: [s], hold_timeout: 3s, health_check: {interval: 7s}}
        """)
    #expect(topology.apply(TextAttributes(group: "g", weight: 4), for: "a.example") == true)
    #expect(shape(topology) == ["g normal s=10.0.0.1:80 a.example:80"])
    let group = topology.groups[0]
    #expect(group.holdTimeout == .seconds(3))
    #expect(group.members[1].check.interval == .seconds(7))
    #expect(group.members[1].check.kind == .http(HTTPCheck()))
    #expect(group.members.map(\.weight) == [1, 4])
  }

  @Test func `a group can be left to DNS altogether`() throws {
    let yaml = """
      dns_backends: [{domain: a.example, port: 80, txt: true}]
      failover_groups: [{name: g, hold_timeout: 3s}, {name: h, mode: active-passive}]
      """
    #expect(diagnostics(yaml) == [])
    var topology = try load(yaml).topology
    #expect(topology.groups == [])
    _ = topology.apply(TextAttributes(group: "h"), for: "a.example")
    #expect(shape(topology) == ["h active-passive a.example:80"])
    _ = topology.apply(TextAttributes(isPrimary: true, group: "g"), for: "a.example")
    #expect(shape(topology) == ["g active-passive a.example:80*"])
    #expect(topology.groups[0].holdTimeout == .seconds(3))
    // Nobody could ever be in it.
    #expect(diagnostics(yaml.replacing(", txt: true", with: "")).count == 3)
  }

  @Test func `a listed entry stays where it is`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, txt: true", groups: "failover_groups: [{name: g, backends: [a.example], mode: normal}]")
    #expect(shape(topology) == ["g normal a.example:80"])
    #expect(topology.apply(TextAttributes(group: "other", zone: "z"), for: "a.example") == true)
    #expect(shape(topology) == ["g normal a.example:80"])
    #expect(ignored(topology) == ["group_name overridden_by_file": 1])
  }

  @Test func `a group whose mark is on its way to another name stays active-passive, and forgets it with its end`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true", "domain: b.example, port: 80, txt: true")
    for name: DomainName in ["a.example", "b.example"] { _ = topology.apply(TextAttributes(group: "pg"), for: name) }
    #expect(shape(topology) == ["pg normal a.example:80 b.example:80"])
    _ = topology.apply(TextAttributes(isPrimary: true, group: "pg"), for: "a.example")
    _ = topology.apply(TextAttributes(group: "pg"), for: "a.example")
    #expect(shape(topology) == ["pg active-passive a.example:80 b.example:80"])
    _ = topology.apply(TextAttributes(group: "pg", mode: .normal), for: "a.example")
    #expect(shape(topology) == ["pg normal a.example:80 b.example:80"], "unless DNS says so")
    for name: DomainName in ["a.example", "b.example"] { _ = topology.apply(TextAttributes(group: "x"), for: name) }
    for name: DomainName in ["a.example", "b.example"] { _ = topology.apply(TextAttributes(group: "pg"), for: name) }
    #expect(shape(topology) == ["pg normal a.example:80 b.example:80"], "another group of that name")
  }

  @Test func `several entries may be marked at once`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, group_name: g, txt: true", "domain: b.example, port: 80, group_name: g, txt: true")
    _ = topology.apply(TextAttributes(isPrimary: true), for: "b.example")
    #expect(shape(topology) == ["g active-passive a.example:80 b.example:80*"])
    _ = topology.apply(TextAttributes(isPrimary: true), for: "a.example")
    #expect(shape(topology) == ["g active-passive a.example:80* b.example:80*"])
    _ = topology.apply(TextAttributes(isPrimary: false), for: "b.example")
    #expect(shape(topology) == ["g active-passive a.example:80* b.example:80"])
    #expect(topology.ignored == [:])
  }

  @Test(
    arguments: [
      "failover_groups: [{name: g, mode: active-passive, primary: b.example}]",
      "dns_backend_strings: []\nfailover_groups: [{name: g, mode: active-passive, backends: [c.example], primary: c.example}]",
    ])
  func `a primary of the file is not marked away`(groups: String) throws {
    var topology = try topology(
      "domain: a.example, port: 80, group_name: g, txt: true", "domain: b.example, port: 80, group_name: g",
      "domain: c.example, port: 80", groups: groups)
    #expect(topology.apply(TextAttributes(isPrimary: true), for: "a.example") == false)
    #expect(ignored(topology) == ["is_primary overridden_by_file": 1])
  }

  @Test func `is_primary of another entry in the file decides`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, group_name: g, txt: true", "domain: b.example, port: 80, group_name: g, is_primary: true")
    #expect(topology.apply(TextAttributes(isPrimary: true), for: "a.example") == false)
    #expect(shape(topology) == ["g active-passive a.example:80 b.example:80*"])
    #expect(ignored(topology) == ["is_primary overridden_by_file": 1])
  }

  @Test func `the first in the order of the file says the mode`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, group_name: g, txt: true", "domain: b.example, port: 80, group_name: g, txt: true")
    #expect(topology.apply(TextAttributes(mode: .activePassive), for: "b.example") == true)
    #expect(topology.groups[0].mode == .activePassive)
    #expect(topology.apply(TextAttributes(mode: .normal), for: "a.example") == true)
    #expect(topology.groups[0].mode == .normal)
    #expect(topology.apply(TextAttributes(weight: 1, mode: .activePassive), for: "b.example") == true)
    #expect(topology.groups[0].mode == .normal)
    #expect(ignored(topology, "b.example") == ["mode conflict": 1])
    #expect(ignored(topology, "a.example") == [:])
    // The same word is no contradiction.
    _ = topology.apply(TextAttributes(mode: .normal), for: "b.example")
    #expect(ignored(topology, "b.example") == ["mode conflict": 1])
  }

  @Test func `in a group of equals is_primary means nothing`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true")
    _ = topology.apply(TextAttributes(isPrimary: true), for: "a.example")
    #expect(shape(topology) == ["a.example normal a.example:80"])
    #expect(ignored(topology) == ["is_primary no_effect": 1])
    _ = topology.apply(TextAttributes(isPrimary: true, mode: .activePassive), for: "a.example")
    #expect(shape(topology) == ["a.example active-passive a.example:80*"])
    #expect(ignored(topology) == ["is_primary no_effect": 1])
  }

  @Test func `SRV records have weights of their own`() throws {
    var topology = try topology("domain: _a.example, group_name: g, txt: true")
    #expect(topology.apply(TextAttributes(weight: 5), for: "_a.example") == false)
    #expect(topology.groups[0].members[0].weight == nil)
    #expect(ignored(topology, "_a.example") == ["weight no_effect": 1])
  }

  @Test func `what DNS says of a name in its own group is not meant for another that lists it`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, group_name: one, txt: true",
      groups: "failover_groups: [{name: two, mode: normal, backends: [a.example]}]")
    #expect(topology.apply(TextAttributes(isPrimary: true, maintenance: true), for: "a.example") == true)
    #expect(shape(topology) == ["two normal a.example:80", "one active-passive a.example:80*"])
    #expect(topology.groups.allSatisfy { $0.members[0].maintenance })
    #expect(topology.ignored == [:])
  }

  @Test func `an endpoint is in a group once`() throws {
    var topology = try topology(
      "domain: a.example, port: 80, txt: true", "domain: a.example, port: 80, group_name: g")
    _ = topology.apply(TextAttributes(group: "g"), for: "a.example")
    #expect(shape(topology) == ["g normal a.example:80"])
    #expect(ignored(topology) == ["group_name duplicate": 1])
    _ = topology.apply(TextAttributes(group: "h"), for: "a.example")
    #expect(shape(topology) == ["g normal a.example:80", "h normal a.example:80"])
  }

  @Test func `two ports of a name move together`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true", "domain: a.example, port: 81, txt: true")
    _ = topology.apply(TextAttributes(group: "g", weight: 3), for: "a.example")
    #expect(shape(topology) == ["g normal a.example:80 a.example:81"])
    #expect(topology.ignored == [:])
  }

  @Test func `a group named after a name can be joined by others`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true", "domain: b.example, port: 80, txt: true")
    _ = topology.apply(TextAttributes(isPrimary: true, group: "a.example"), for: "b.example")
    _ = topology.apply(nil, for: "a.example")
    #expect(shape(topology) == ["a.example active-passive a.example:80 b.example:80*"])
  }

  @Test func `what could not stand in a file is refused from DNS`() throws {
    var topology = try topology("domain: a.example, port: 80, txt: true")
    _ = topology.apply(TextAttributes(group: "../x", weight: -1), for: "a.example")
    #expect(shape(topology) == ["a.example normal a.example:80"])
    #expect(topology.groups[0].members[0].weight == nil)
    #expect(ignored(topology) == ["group_name bad_value": 1, "weight bad_value": 1])
  }
}
