import Model
import Testing

@testable import LebaConfiguration

/// Who listens where, and what cannot be.
@Suite struct ListenerTests {
  private static func listeners(_ items: String...) -> String {
    twoBackends + "listeners:\n" + items.map { "  - {\($0)}\n" }.joined()
  }

  @Test(
    arguments: [
      Case(
        "no name", listeners("address: \"127.0.0.1:1\", group: app"), "9:5: error: 'name' is missing; add it, for example name: pg"),
      Case(
        "no address", listeners("name: l, group: app"),
        "9:5: error: 'address' is missing; add it, for example address: \"127.0.0.1:5432\""),
      Case(
        "no group", listeners("name: l, address: \"127.0.0.1:1\""),
        "9:5: error: 'group' is missing; add it, for example group: postgres-cluster"),
      Case(
        "unknown group", listeners("name: l, address: \"127.0.0.1:1\", group: ap"),
        "9:46: error: there is no group 'ap'; the nearest known name is 'app'"),
      Case(
        "name twice", listeners("name: l, address: \"127.0.0.1:1\", group: app", "name: l, address: \"127.0.0.1:2\", group: app"),
        "10:12: error: the listener 'l' is already declared (9:12); choose another name"),
      Case(
        "address twice",
        listeners("name: l, address: \"127.0.0.1:1\", group: app", "name: m, address: \"127.0.0.1:1\", group: app"),
        "10:24: error: the address 127.0.0.1:1 is already taken by the listener 'l' (9:24); choose another port"),
      Case(
        "all addresses and one of them",
        listeners("name: l, address: \"0.0.0.0:1\", group: app", "name: m, address: \"127.0.0.1:1\", group: app"),
        "10:24: error: the address 127.0.0.1:1 is already taken by the listener 'l' (9:24); choose another port"),
      Case(
        "one and all addresses", listeners("name: l, address: \"[::1]:1\", group: app", "name: m, address: \"[::]:1\", group: app"),
        "10:24: error: the address [::]:1 is already taken by the listener 'l' (9:24); choose another port"),
      Case(
        "socket twice", listeners("name: l, address: \"unix:/run/l\", group: app", "name: m, address: \"unix:/run/l\", group: app"),
        "10:24: error: the address unix:/run/l is already taken by the listener 'l' (9:24); choose another port"),
      Case(
        "the API's address", listeners("name: l, address: \"0.0.0.0:8080\", group: app"),
        "9:24: error: the address 0.0.0.0:8080 is already taken by the API; choose another port"),
      Case(
        "a backend's address", listeners("name: l, address: \"10.0.0.1:80\", group: app"),
        "9:24: error: the listener would connect to itself: 10.0.0.1:80 is the address of the backend 'a'; choose another port"),
      Case(
        "role", listeners("name: l, address: \"127.0.0.1:1\", group: app, role: standby"),
        "9:57: error: 'standby' is not a role; use primary, replica or any"),
      Case(
        "a name for the address", listeners("name: l, address: \"localhost:1\", group: app"),
        "9:24: error: 'localhost:1' is not an address to listen on; write 127.0.0.1:5432, [::1]:PORT or unix:/PATH"),
      Case(
        "port 0", listeners("name: l, address: \"127.0.0.1:0\", group: app"),
        "9:24: error: '127.0.0.1:0' is not an address to listen on; write 127.0.0.1:5432, [::1]:PORT or unix:/PATH"),
      Case(
        "multicast", listeners("name: l, address: \"224.0.0.1:1\", group: app"),
        "9:24: error: '224.0.0.1:1' is a multicast address; write 127.0.0.1:5432"),
      Case(
        "a group without one", twoBackends + "listeners: []\n",
        "5:11: warning: no listener serves the group 'app'; add one under listeners, or remove the group"),
    ])
  func explicit(_ example: Case) { #expect(diagnostics(example.yaml) == example.expected) }

  @Test func aLoopbackBackendIsReachedThroughAllAddressesToo() {
    #expect(
      diagnostics(
        """
        failover_groups: [{name: app, mode: normal, backends: ["127.0.0.2:80"]}]
        listeners: [{name: l, address: "0.0.0.0:80", group: app}]
        """) == [
          "2:32: error: the listener would connect to itself: 0.0.0.0:80 is the address of the backend '127.0.0.2:80'; choose another port"
        ])
  }

  @Test func differentFamiliesAndPortsDoNotConflict() {
    let yaml = Self.listeners(
      "name: a, address: \"0.0.0.0:1\", group: app", "name: b, address: \"[::]:1\", group: app",
      "name: c, address: \"127.0.0.1:2\", group: app", "name: d, address: \"127.0.0.2:2\", group: app",
      "name: e, address: \"unix:/a\", group: app", "name: f, address: \"unix:/b\", group: app")
    #expect(diagnostics(yaml) == [])
  }

  @Test func explicitListenersAreAsWritten() throws {
    let yaml = """
      backends: [{id: a, address: 10.0.0.1, port: 5432, protocol: postgres}]
      failover_groups: [{name: pg, mode: active-passive, backends: [a], primary: a}]
      listeners:
        - {name: rw, address: "127.0.0.1:5432", group: pg}
        - {name: ro, address: "[::1]:5433", group: pg, role: replica}
        - {name: all, address: "unix:/run/pg", group: pg, role: any}
      """
    let listeners = try load(yaml).listeners
    #expect(listeners.map(\.name) == ["rw", "ro", "all"])
    #expect(listeners.map(\.address.description) == ["127.0.0.1:5432", "[::1]:5433", "unix:/run/pg"])
    #expect(listeners.map(\.role) == [.primary, .replica, .any])
    #expect(listeners.allSatisfy { $0.clientSpeaksFirst && $0.group == "pg" })
  }

  @Test func withoutListenersEachGroupListensOnThePortOfItsPrimary() throws {
    let configuration = try load(
      """
      backends:
        - {id: a, address: 10.0.0.1, port: 81, protocol: http}
        - {id: b, address: 10.0.0.2, port: 82, protocol: http}
        - {id: c, address: 10.0.0.3, port: 83}
      failover_groups:
        - {name: ap, mode: active-passive, backends: [a, b], primary: b}
        - {name: nm, mode: normal, backends: [c, a]}
      """)
    #expect(
      configuration.listeners == [
        ListenerSpecification(
          name: "ap", address: try #require(SocketAddress("127.0.0.1:82")), group: "ap", role: .primary, clientSpeaksFirst: true),
        ListenerSpecification(
          name: "nm", address: try #require(SocketAddress("127.0.0.1:83")), group: "nm", role: .any, clientSpeaksFirst: false),
      ])
    #expect(configuration.warnings == [])
  }

  @Test func whatAnImplicitListenerCannotHaveIsAWarning() throws {
    let yaml = """
      backends:
        - {id: a, address: 10.0.0.1, port: 80}
        - {id: own, address: 127.0.0.1, port: 81}
        - {id: api, address: 10.0.0.1, port: 8080}
      failover_groups:
        - {name: first, mode: normal, backends: [a]}
        - {name: second, mode: normal, backends: [a]}
        - {name: self, mode: normal, backends: [own]}
        - {name: api, mode: normal, backends: [api]}
      """
    #expect(
      diagnostics(yaml) == [
        "7:12: warning: the group 'second' gets no listener: 127.0.0.1:80 is taken by the group 'first'; give it one under listeners",
        "8:12: warning: the group 'self' gets no listener: 127.0.0.1:81 is the address of the backend 'own'; give it one under listeners",
        "9:12: warning: the group 'api' gets no listener: 127.0.0.1:8080 is taken by the API; give it one under listeners",
      ])
    #expect(try load(yaml).listeners.map(\.name) == ["first"])
  }
}
