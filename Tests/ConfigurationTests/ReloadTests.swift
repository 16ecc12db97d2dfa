import Model
import Testing

@testable import LebaConfiguration

/// A file that is read again while we run.
@Suite struct ReloadTests {
  private static let yaml = """
    dns_backends:
      - {domain: a.example, port: 80, txt: true}
      - {domain: b.example, port: 81, txt: true}
      - {domain: c.example, port: 82}
    backends: [{id: s, address: 10.0.0.1, port: 80}]
    failover_groups: [{name: g, mode: normal, backends: [s]}]
    """

  private func running() throws -> Topology {
    var topology = try load(Self.yaml).topology
    _ = topology.apply(TextAttributes(isPrimary: true, group: "pg"), for: "a.example")
    _ = topology.apply(TextAttributes(group: "pg", weight: -1), for: "b.example")
    _ = topology.apply(TextAttributes(group: "pg"), for: "a.example")
    try topology.add(DNSEntryRequest(domain: "new.example", port: 83, isPrimary: true, groupName: "made"))
    try topology.add(DNSEntryRequest(domain: "text.example", port: 83, txt: true))
    _ = topology.apply(TextAttributes(group: "made"), for: "text.example")
    try topology.addBackend(BackendRequest(id: "t", address: "10.0.0.2", port: 80))
    return topology
  }

  @Test func `the same file changes nothing`() throws {
    let old = try running()
    let adopted = try load(Self.yaml).topology.adopting(old)
    #expect(adopted.topology.groups == old.groups)
    #expect(adopted.topology["pg"]?.mode == .activePassive, "although no name is marked at this moment")
    #expect(adopted.topology.entries == old.entries && adopted.topology.domains == old.domains)
    #expect(adopted.topology.backends == old.backends)
    #expect(adopted.topology.ignored == old.ignored && old.ignored != [:])
    #expect(adopted.topology.changed == [] && adopted.entries.isEmpty && adopted.backends.isEmpty)
    // And it goes on from there.
    var topology = adopted.topology
    #expect(topology.apply(TextAttributes(group: "pg"), for: "a.example") == false)
    #expect(topology.apply(TextAttributes(group: "other"), for: "a.example") == true)
    try topology.remove("new.example")
    #expect(topology.groups.map(\.name) == ["g", "c.example", "other", "pg", "made"])
  }

  @Test func `only what is described otherwise changes`() throws {
    let old = try running()
    let yaml = Self.yaml.replacing("mode: normal, backends: [s]", with: "mode: normal, backends: [s], slow_start: 1s")
      .replacing("port: 82", with: "port: 182")
    let adopted = try load(yaml).topology.adopting(old)
    #expect(adopted.topology.changed == ["g", "c.example"])
    #expect(adopted.topology["pg"] == old["pg"] && adopted.topology["made"] == old["made"])
  }

  @Test func `the file wins over what was made through the API`() throws {
    let old = try running()
    let yaml = Self.yaml.replacing("{id: s,", with: "{id: t, address: 10.0.0.3, port: 80}, {id: s,")
      .replacing("{domain: c.example, port: 82}", with: "{domain: new.example, port: 84}")
    let adopted = try load(yaml).topology.adopting(old)
    #expect(adopted.backends.map(\.refusal) == [.exists("t")])
    #expect(adopted.entries.map(\.refusal) == [.exists("new.example")])
    #expect(adopted.topology.backend("t")?.address.description == "10.0.0.3:80")
    #expect(adopted.topology["new.example"].map(origins) == ["new.example:84"])
    #expect(adopted.topology["made"].map(origins) == ["text.example:83"])
    #expect(adopted.topology.changed == ["made", "c.example", "new.example"])
  }

  @Test func `two primaries of one group cannot both stay`() throws {
    let adopted = try load(Self.yaml.replacing("port: 82}", with: "port: 82, group_name: made, is_primary: true}")).topology
      .adopting(running())
    #expect(
      adopted.entries.map(\.refusal) == [
        .invalid(reasons: ["the group 'made' has a primary already, 'c.example'; leave is_primary out"])
      ])
  }

  @Test func `what DNS said of names that are gone is forgotten`() throws {
    let adopted = try load(Self.yaml.replacing("{domain: a.example, port: 80, txt: true}", with: "{domain: a.example, port: 80}"))
      .topology.adopting(running())
    #expect(adopted.topology.texts["a.example"] == nil)
    #expect(adopted.topology["a.example"]?.mode == .normal)
    #expect(adopted.topology.changed == ["a.example", "pg"])
  }

  private func changes(_ before: String, _ after: String) throws -> ConfigurationChanges {
    try load(after).differences(from: load(before))
  }

  @Test func `differences are found, and nothing else`() throws {
    #expect(try changes(Self.yaml, Self.yaml).isEmpty)
    #expect(try changes(Self.yaml, "# a remark\n" + Self.yaml).summary == [])
    let fixed = try changes(Self.yaml, Self.yaml + "\nworkers: 2\nengine: epoll\nstate_directory: /x\napi_port: 1")
    #expect(fixed.needsRestart == [.engine, .workers, .stateDirectory, .apiAddress])
    #expect(fixed.summary == [])
    let applied = try changes(
      Self.yaml,
      Self.yaml.replacing("c.example", with: "d.example").replacing("10.0.0.1", with: "10.0.0.2") + """

        zone: z
        dns_resolver: {timeout: 1s}
        maintenance: [{backend: s, start: "9000-01-01T00:00:00Z", duration: 1h}]
        listeners: [{name: l, address: "127.0.0.1:9", group: g}]
        """)
    #expect(applied.needsRestart == [])
    #expect(applied.groups.added == ["d.example"] && applied.groups.changed == ["g"] && applied.groups.removed == ["c.example"])
    #expect(applied.domains.added == ["d.example"] && applied.domains.removed == ["c.example"])
    #expect(applied.backends.changed == ["s"])
    #expect(applied.listeners.added == ["l"])
    #expect(applied.changesWhoDeclaresListeners && applied.windows && applied.resolver && applied.zone)
    #expect(applied.summary.first == "groups: 1 added, 1 changed, 1 removed")
  }
}
