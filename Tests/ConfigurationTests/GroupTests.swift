import Model
import Testing

@testable import LebaConfiguration

/// What groups become of the declarations of a file.
@Suite struct GroupTests {
  @Test func aGroupOfFixedBackends() throws {
    let configuration = try load(
      """
      backends:
        - {id: a, address: 10.0.0.1, port: 80, protocol: http, weight: 3, zone: z1}
        - {id: b, address: "fd00::1", port: 81}
      failover_groups:
        - name: g
          mode: active-passive
          backends: [b, a, "10.0.0.9:82"]
          primary: a
          balance: least_connections
          failback: automatic
          failback_after: 1m
          minimum_interval: 20s
          hold_timeout: 5s
          drain_timeout: 1m
      """)
    let group = try #require(configuration.groups.first)
    #expect(group.name == "g" && group.mode == .activePassive && group.balance == .leastConnections)
    #expect(group.failback == .automatic(after: .seconds(60)))
    #expect(group.minimumInterval == .seconds(20) && group.holdTimeout == .seconds(5) && group.drainTimeout == .seconds(60))
    #expect(origins(group) == ["b=[fd00::1]:81", "a=10.0.0.1:80*", "10.0.0.9:82=10.0.0.9:82"])
    #expect(group.members.map(\.proto) == [.tcp, .http, .tcp])
    #expect(group.members.map(\.weight) == [1, 3, 1])
    #expect(group.members.map(\.zone) == [nil, "z1", nil])
    #expect(configuration.drainTimeout == .seconds(60))
    #expect(configuration.backends.map(\.id).sorted() == ["a", "b"])
  }

  @Test func defaults() throws {
    let configuration = try load(twoBackends)
    let group = try #require(configuration.groups.first)
    #expect(group.balance == .roundRobin && group.failback == .manual && group.minimumInterval == .seconds(10))
    #expect(group.holdTimeout == .seconds(10) && group.drainTimeout == .seconds(30))
    #expect(configuration.engine == .auto && configuration.workers == 1 && configuration.zone == nil)
    #expect(configuration.stateDirectory == "./.leba" && configuration.apiAddress.description == "127.0.0.1:8080")
    #expect(configuration.resolver == ResolverSettings())
    #expect(try load(twoBackends + "    failback: automatic\n").groups[0].failback == .automatic(after: .seconds(300)))
  }

  @Test func dnsBackendsAloneMakeGroups() throws {
    let configuration = try load(
      """
      dns_backends:
        - {domain: P.Example.com., port: 5432, protocol: postgres, group_name: pg, is_primary: true, weight: 2, zone: z}
        - {domain: r.example.com, port: 5432, protocol: postgres, group_name: pg, is_primary: false}
        - {domain: x.example.com, port: 80, group_name: equals}
        - {domain: alone.example.com, port: 90}
      """)
    #expect(configuration.groups.map(\.name) == ["pg", "equals", "alone.example.com"])
    #expect(configuration.groups.map(\.mode) == [.activePassive, .normal, .normal])
    #expect(origins(configuration.groups[0]) == ["p.example.com:5432*", "r.example.com:5432"])
    #expect(configuration.groups[0].members.map(\.weight) == [2, nil])
    #expect(configuration.groups[0].members.map(\.zone) == ["z", nil])
    #expect(origins(configuration.groups[2]) == ["alone.example.com:90"])
  }

  @Test func anEntryOfTheSameNameSetsTheRest() throws {
    let yaml = """
      backends: [{id: s, address: 10.0.0.1, port: 5432}]
      dns_backends:
        - {domain: p.example, port: 5432, group_name: pg, is_primary: true}
        - {domain: r.example, port: 5432, group_name: pg}
      failover_groups:
        - {name: pg, hold_timeout: 1s, backends: [r.example, s]}
      """
    let group = try load(yaml).groups[0]
    #expect(group.mode == .activePassive && group.holdTimeout == .seconds(1))
    // The order of its list, then what DNS adds.
    #expect(origins(group) == ["r.example:5432", "s=10.0.0.1:5432", "p.example:5432*"])
    #expect(try load(yaml.replacing("hold_timeout: 1s", with: "mode: normal")).groups[0].mode == .normal)
  }

  @Test func aListedDomainBelongsToTheGroupThatListsIt() throws {
    let configuration = try load(
      """
      dns_backends:
        - {domain: a.example, port: 80}
        - {domain: b.example, port: 80, is_primary: true}
        - {domain: c.example, port: 81}
        - {domain: c.example, port: 82}
      failover_groups:
        - {name: g, mode: active-passive, backends: [a.example, b.example, "c.example:82"]}
      """)
    #expect(configuration.groups.map(\.name) == ["g"])
    #expect(origins(configuration.groups[0]) == ["a.example:80", "b.example:80*", "c.example:82"])
  }

  @Test func anotherGroupsPrimaryIsNotOurs() throws {
    let configuration = try load(
      """
      dns_backends: [{domain: a.example, port: 80, group_name: one, is_primary: true}]
      failover_groups: [{name: two, mode: normal, backends: [a.example]}]
      listeners: [{name: x, address: "127.0.0.1:1", group: one}, {name: y, address: "127.0.0.1:2", group: two}]
      """)
    #expect(configuration.groups.map(\.name) == ["two", "one"])
    #expect(configuration.groups.map(origins) == [["a.example:80"], ["a.example:80*"]])
  }

  @Test func thePrimaryMayBeNamedInEveryWay() throws {
    for (primary, expected) in [
      ("d.example", "d.example:80*"), ("\"d.example:80\"", "d.example:80*"), ("D.EXAMPLE.", "d.example:80*"),
      ("s", "s=10.0.0.1:80*"), ("\"10.0.0.1:80\"", "s=10.0.0.1:80*"), ("\"[::2]:80\"", "[::2]:80=[::2]:80*"),
    ] {
      let group = try load(
        """
        backends: [{id: s, address: 10.0.0.1, port: 80}]
        dns_backends: [{domain: d.example, port: 80}]
        failover_groups: [{name: g, mode: active-passive, backends: [d.example, s, "[::2]:80"], primary: \(primary)}]
        """
      ).groups[0]
      #expect(origins(group).filter { $0.hasSuffix("*") } == [expected])
    }
  }

  @Test func stringsAreEndpoints() throws {
    let configuration = try load(
      """
      dns_backend_strings: ["api.example.com:80/http", "api.example.com:81/http", "[fd00::1]:5432/postgres", "10.0.0.1:90"]
      """)
    #expect(configuration.groups.map(\.name) == ["api.example.com", "fd00::1", "10.0.0.1"])
    #expect(
      configuration.groups.map(origins) == [
        ["api.example.com:80", "api.example.com:81"], ["[fd00::1]:5432=[fd00::1]:5432"], ["10.0.0.1:90=10.0.0.1:90"],
      ])
    #expect(configuration.groups.map { $0.members[0].proto } == [.http, .postgres, .tcp])
    #expect(configuration.groups.allSatisfy { $0.mode == .normal })
    #expect(configuration.domains.map(\.domain) == ["api.example.com"])
  }

  @Test func oneDomainIsLookedUpOnceUnderTheStrictestBounds() throws {
    let domains = try load(
      """
      dns_backends:
        - {domain: d.example, port: 80, group_name: a, resolution_timeout: 2s, resolution_interval: 30s}
        - {domain: D.example, port: 81, group_name: b, resolution_timeout: 3s, resolution_interval: 10s, ttl: 9s}
        - {domain: d.example., port: 80, group_name: c, ttl: 7s}
        - {domain: e.example, port: 1}
      """
    ).domains
    #expect(
      domains == [
        DomainSpecification(
          domain: "d.example", ports: [80, 81], lookupTimeout: .seconds(2), maximumInterval: .seconds(10), ttl: .seconds(7)),
        DomainSpecification(domain: "e.example", ports: [1]),
      ])
  }

  @Test func theResolver() throws {
    let configuration = try load(
      """
      dns_resolver:
        servers: ["127.0.0.1:5353", "[::1]:5353", "::1"]
        timeout: 400ms
        retry_attempts: 0
        minimum_ttl: 2s
        maximum_ttl: 1m
        negative_ttl: 3s
        hold_removed: 0s
        allowed_cidrs: ["127.0.0.0/8"]
      """)
    #expect(
      configuration.resolver
        == ResolverSettings(
          servers: ["127.0.0.1:5353", "[::1]:5353", "[::1]:53"].compactMap { SocketAddress($0) }, timeout: .milliseconds(400),
          retryAttempts: 0,
          minimumTTL: .seconds(2), maximumTTL: .seconds(60), negativeTTL: .seconds(3), holdRemoved: .zero,
          allowedRanges: [try #require(AddressRange("127.0.0.0/8"))]))
  }

  @Test func theAPI() throws {
    #expect(try load("api_port: \"9000\"").apiAddress.description == "127.0.0.1:9000")
    #expect(try load("api: {api_port: \"9000\"}").apiAddress.description == "127.0.0.1:9000")
    #expect(try load("api: {address: \"[::1]:9000\"}").apiAddress.description == "[::1]:9000")
    #expect(try load("api: {address: \"unix:/run/leba/api.sock\"}").apiAddress == .unix(path: "/run/leba/api.sock"))
  }

  @Test func warnings() {
    #expect(
      diagnostics(
        """
        backends: [{id: unused, address: 10.0.0.1, port: 80}]
        dns_backends: [{domain: d.example, port: 80, is_primary: true}]
        api_security: {jwt_secret: 0123456789abcdef0123456789abcdef}
        """) == [
          "1:17: warning: no group uses the backend 'unused'; name it in the backends of a group, or remove it",
          "2:58: warning: 'is_primary' has no effect without a group; add group_name, or remove it",
          "3:28: warning: 'jwt_secret' has no effect: authentication is not supported by this version yet; remove it",
        ])
    #expect(
      diagnostics("zone: a") == [
        "1:1: warning: there is no group, so nothing is forwarded; declare one under failover_groups or dns_backends"
      ])
  }

  @Test func groupsMadeWhileRunningFollowTheSameRules() throws {
    let configuration = try load(twoBackends + "dns_backends: [{domain: d.example, port: 80, group_name: app}]\n")
    let group = try configuration.group(
      named: "new", mode: "active-passive", backends: ["b", "d.example", "10.0.0.7:1"], primary: "d.example")
    #expect(group.name == "new" && group.mode == .activePassive)
    #expect(origins(group) == ["b=10.0.0.2:80", "d.example:80*", "10.0.0.7:1=10.0.0.7:1"])

    for (name, mode, backends, primary, expected) in [
      ("a b", "normal", ["a"], nil as String?, "'a b' is not a name; use up to 253 letters, digits, '-', '_' and '.'"),
      ("x", "passive", ["a"], nil, "'passive' is not a mode; use active-passive or normal"),
      ("x", "normal", [], nil, "the group 'x' has no backends; list at least one"),
      (
        "x", "normal", ["c"], nil,
        "'c' is not declared anywhere; the nearest known name is 'a'; or declare it under backends or dns_backends, or write address:port"
      ),
      ("x", "active-passive", ["a"], nil, "the active-passive group 'x' has no primary; add for example primary: a"),
      (
        "x", "active-passive", ["a"], "b",
        "the primary 'b' is not one of the group's backends; the nearest one is 'a'; or add it to backends"
      ),
      (
        "${HOME}", "normal", ["a"], nil,
        "the environment variable 'HOME' is not set; set it, or write $${HOME} if the text itself is meant"
      ),
    ] {
      let refusal = #expect(throws: GroupRefusal.self) {
        try configuration.group(named: name, mode: mode, backends: backends, primary: primary)
      }
      #expect(refusal?.description == expected)
    }
  }
}
