import Model
import Testing

@testable import LebaConfiguration

/// Listeners of groups that DNS makes, and of groups whose port only DNS knows.
@Suite struct DefaultListenerTests {
  private func texts(_ listeners: [ListenerSpecification]) -> [String] {
    listeners.map { "\($0.group) \($0.address) \($0.role.rawValue)" }
  }

  @Test func `a listener may name a group that only DNS would make`() throws {
    let yaml = """
      dns_backends: [{domain: a.example, port: 80, protocol: http, txt: true}]
      failover_groups: [{name: left, mode: normal}]
      listeners:
        - {name: one, address: "127.0.0.1:1", group: later}
        - {name: two, address: "127.0.0.1:2", group: later, role: replica}
        - {name: three, address: "127.0.0.1:3", group: left}
      """
    let remedy = "nothing answers here until DNS makes it, by group_name at a name with txt: true"
    #expect(
      diagnostics(yaml) == [
        "4:48: warning: the file has no group 'later'; \(remedy)", "5:48: warning: the file has no group 'later'; \(remedy)",
      ])
    let configuration = try load(yaml)
    #expect(
      texts(configuration.listeners) == [
        "later 127.0.0.1:1 primary", "later 127.0.0.1:2 replica", "left 127.0.0.1:3 any",
      ])
    #expect(configuration.listeners.allSatisfy { $0.clientSpeaksFirst })
    #expect(configuration.defaultListeners(for: configuration.groups).listeners == [])
    // Without such an entry nobody can make it.
    #expect(diagnostics(yaml.replacing(", txt: true", with: "")).contains { $0.contains("4:48: error: there is no group 'later'") })
  }

  /// A replica must not get writes because DNS named the primary later than the file was read.
  @Test func `a listener is for the primary where DNS may yet say who that is`() throws {
    let yaml = """
      dns_backends: [{domain: a.example, port: 80, group_name: g, txt: true}, {domain: b.example, port: 80, group_name: g}]
      failover_groups: [{name: g, hold_timeout: 1s}]
      listeners: [{name: l, address: "127.0.0.1:1", group: g}]
      """
    #expect(try load(yaml).listeners.map(\.role) == [.primary])
    #expect(try load(yaml.replacing("hold_timeout: 1s", with: "mode: normal")).listeners.map(\.role) == [.any])
    #expect(try load(yaml.replacing(", txt: true", with: "")).listeners.map(\.role) == [.any])
  }

  /// A server that speaks first would wait for a client that waits for it.
  @Test func `a listener is ready for whatever DNS may move behind it`() throws {
    let listeners = try load(
      """
      dns_backends: [{domain: a.example, port: 80, protocol: mysql, txt: true}]
      backends: [{id: s, address: 10.0.0.1, port: 80, protocol: http}]
      failover_groups: [{name: g, mode: normal, backends: [s]}]
      listeners: [{name: l, address: "127.0.0.1:1", group: g}]
      """
    ).listeners
    #expect(listeners.map(\.clientSpeaksFirst) == [false])
  }

  @Test func `an SRV group listens where it is told, or where its records say`() throws {
    let configuration = try load(
      """
      dns_backends:
        - {domain: _a.example, group_name: a}
        - {domain: _b.example, port: 5432, group_name: b}
      """)
    #expect(texts(configuration.listeners) == ["b 127.0.0.1:5432 any"])
    #expect(configuration.warnings == [])
    let groups = configuration.groups
    #expect(ListenerSpecification(defaultFor: groups[0]) == nil)
    #expect(ListenerSpecification(defaultFor: groups[0], discoveredPort: 99)?.address.port == 99)
    #expect(ListenerSpecification(defaultFor: groups[1], discoveredPort: 99)?.address.port == 5432)
    #expect(
      texts(configuration.defaultListeners(for: groups, ports: ["_a.example": 99, "_b.example": 98]).listeners) == [
        "a 127.0.0.1:99 any", "b 127.0.0.1:5432 any",
      ])
    #expect(configuration.detectionReport().first == "group a (normal), on 127.0.0.1 and the port of its records")
  }

  @Test func `listeners follow the groups, and who listens keeps its port`() throws {
    let configuration = try load(
      """
      backends: [{id: s, address: 127.0.0.1, port: 81}]
      dns_backends:
        - {domain: a.example, port: 80, txt: true}
        - {domain: b.example, port: 80, txt: true}
        - {domain: c.example, port: 8080, txt: true}
        - {domain: d.example, port: 81, txt: true}
      """)
    #expect(configuration.listeners == [])
    var topology = configuration.topology
    _ = topology.apply(TextAttributes(group: "b", mode: .activePassive), for: "b.example")
    let first = configuration.defaultListeners(for: topology.groups)
    #expect(texts(first.listeners) == ["b 127.0.0.1:80 primary"])
    #expect(first.obstacles == [:])

    for domain in ["a.example", "c.example", "d.example"] as [DomainName] { _ = topology.apply(nil, for: domain) }
    #expect(topology.groups.map(\.name) == ["a.example", "b", "c.example", "d.example"])
    let second = configuration.defaultListeners(for: topology.groups, keeping: first.listeners)
    #expect(second.listeners == first.listeners)
    #expect(
      second.obstacles == [
        "a.example": "127.0.0.1:80 is taken by the group 'b'", "c.example": "127.0.0.1:8080 is taken by the API",
        "d.example": "127.0.0.1:81 is the address of the backend 's'",
      ])

    _ = topology.apply(TextAttributes(group: "a.example"), for: "b.example")
    let third = configuration.defaultListeners(for: topology.groups, keeping: second.listeners)
    #expect(texts(third.listeners) == ["a.example 127.0.0.1:80 any"])
  }
}
