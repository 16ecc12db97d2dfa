import Model
import Testing

@testable import LebaConfiguration

/// Checks of other kinds than the protocol's own, and checks put together.
@Suite struct CriteriaTests {
  private func check(_ fields: String, of proto: BackendProtocol = .tcp) throws -> HealthCheck.Kind {
    try load(
      """
      backends: [{id: a, address: 10.0.0.1, port: 80, protocol: \(proto.rawValue)}]
      failover_groups: [{name: g, mode: normal, backends: [a], health_check: {\(fields)}}]
      """
    ).groups[0].members[0].check.kind
  }

  @Test func `every type has its keys`() throws {
    #expect(try check("type: https, path: /x") == .http(HTTPCheck(path: "/x", tls: TLSCheck())))
    #expect(
      try check("path: /x, tls: {server_name: A.example}") == .http(HTTPCheck(path: "/x", tls: TLSCheck(serverName: "a.example"))))
    #expect(try check("tls: {verify: true}") == .tls(TLSCheck(verifies: true)))
    #expect(try check("type: tls") == .tls(TLSCheck()))
    #expect(try check("mysql: {user: u, password: p}") == .mysql(MySQLCheck(user: "u", password: Secret("p"))))
    #expect(try check("type: redis") == .redis(RedisCheck()))
    #expect(try check("redis: {password: p}") == .redis(RedisCheck(password: Secret("p"))))
    #expect(try check("exec: {command: [/bin/true, '{port}']}") == .exec(ExecCheck(command: ["/bin/true", "{port}"])))
    #expect(
      try check("headers: {X-Probe: leba, Accept: '*/*'}")
        == .http(HTTPCheck(headers: [HTTPHeader("X-Probe", "leba"), HTTPHeader("Accept", "*/*")])))
    #expect(try check("postgres: {depth: ssl_request}") == .postgres(PostgresCheck(depth: .sslRequest)))
    #expect(try check("postgres: {tls: require}") == .postgres(PostgresCheck(tls: .require)))
  }

  @Test func `the keys of http ask a member inside TLS that speaks it, unless the type says otherwise`() throws {
    #expect(try check("path: /x", of: .https) == .http(HTTPCheck(path: "/x", tls: TLSCheck())))
    #expect(try check("path: /x", of: .http) == .http(HTTPCheck(path: "/x")))
    #expect(try check("type: http, path: /x", of: .https) == .http(HTTPCheck(path: "/x")))
  }

  @Test(
    arguments: [
      ("10s", ReplicaLag.time(.seconds(10))), ("16MB", .bytes(16 << 20)), ("0B", .bytes(0)), ("512kB", .bytes(512 << 10)),
      ("9999999TB", .bytes(9_999_999 << 40)),
    ])
  func `a lag is a time or an amount`(text: String, lag: ReplicaLag) throws {
    #expect(
      try check("postgres: {user: u, maximum_lag: \(text)}") == .postgres(PostgresCheck(user: "u", depth: .role, maximumLag: lag)))
  }

  @Test func `criteria nest`() throws {
    let kind = try check(
      """
      criteria: {all: [http: {path: /ready}, any: [{tcp: {port: 9000}}, {not: {exec: {command: [/bin/check]}}}],
      {https: {port: 8443, tls: {verify: true}}}, {postgres: {user: u, maximum_lag: 1GB}}, {redis: {}}, {mysql: {}}, {tls: {port: 1}}]}
      """)
    let expected = Criteria.all([
      .check(.http(HTTPCheck(path: "/ready")), port: nil),
      .any([.check(.tcp, port: 9000), .not(.check(.exec(ExecCheck(command: ["/bin/check"])), port: nil))]),
      .check(.http(HTTPCheck(tls: TLSCheck(verifies: true))), port: 8443),
      .check(.postgres(PostgresCheck(user: "u", depth: .role, maximumLag: .bytes(1 << 30))), port: nil),
      .check(.redis(RedisCheck()), port: nil), .check(.mysql(MySQLCheck()), port: nil), .check(.tls(TLSCheck()), port: 1),
    ])
    #expect(kind == .criteria(expected))
  }

  private static func nested(_ levels: Int) -> String {
    String(repeating: "{not: ", count: levels - 1) + "{tcp: {}}" + String(repeating: "}", count: levels - 1)
  }

  private static func wide(_ leaves: Int) -> String {
    "{any: [\(Array(repeating: "{tcp: {}}", count: leaves).joined(separator: ", "))]}"
  }

  @Test func `the bounds of criteria hold what they promise`() {
    for fields in ["criteria: \(Self.nested(8))", "criteria: \(Self.wide(32))"] {
      #expect(diagnostics(RuleTests.check(fields)).filter { $0.contains("error") } == [])
    }
  }

  @Test(
    arguments: [
      Case(
        "empty list", RuleTests.check("criteria: {all: []}"), "3:75: error: 'all' is empty; list at least one check, or remove it"),
      Case(
        "two keys", RuleTests.check("criteria: {tcp: {}, redis: {}}"),
        "3:86: error: 'tcp' and 'redis' stand side by side; put them into a list under all or any"),
      Case(
        "nothing", RuleTests.check("criteria: {}"), "3:69: error: a check without a type; write one, for example tcp: {port: 9000}"),
      Case(
        "a typo in it", RuleTests.check("criteria: {all: [{htpp: {}}]}"),
        "3:77: error: unknown key 'htpp'; the nearest known key is 'http'"),
      Case(
        "a typo in a check", RuleTests.check("criteria: {tcp: {prot: 1}}"),
        "3:76: error: unknown key 'prot'; the nearest known key is 'port'"),
      Case(
        "too deep", RuleTests.check("criteria: \(nested(9))"),
        "3:117: error: criteria nested more than 8 levels deep; write them flatter"),
      Case(
        "too many", RuleTests.check("criteria: \(wide(33))"), "3:69: error: 'criteria' holds 33 checks; keep at most 32"),
      Case(
        "exec by PATH", RuleTests.check("exec: {command: [check]}"),
        "3:76: error: 'check' is not the full path of a program; begin it with '/'"),
      Case(
        "exec without a command", RuleTests.check("type: exec"),
        "3:65: error: a check of type exec needs a command; add exec: {command: [/path/of/program]}"),
      Case(
        "tls of tcp", RuleTests.check("type: tcp, tls: {}"),
        "3:75: error: 'tls' belongs to checks of type tls and https; write type: tls, or remove it"),
      Case(
        "lag without a role", RuleTests.check("postgres: {maximum_lag: 10s}"),
        "3:83: error: 'maximum_lag' is asked for at depth role only; add user, and password_file or leave out depth"),
      Case(
        "lag without a unit", RuleTests.check("postgres: {user: u, maximum_lag: 16}"),
        "3:92: error: '16' has no unit; write one, for example 5s or 250ms"),
      Case(
        "Host", RuleTests.check("headers: {Host: a}"), "3:69: error: 'Host' has a key of its own; write host: instead"),
      Case(
        "framing", RuleTests.check("headers: {transfer-encoding: chunked}"),
        "3:69: error: 'transfer-encoding' is ours: it says how the request is sent; remove it"),
      Case(
        "a line end", RuleTests.check(#"headers: {X-A: "a\r\nHost: b"}"#),
        #"3:74: error: 'a\r\nHost: b' cannot stand in a header; use printable ASCII on one line"#),
      Case(
        "a name with a space", RuleTests.check("headers: {X A: a}"),
        "3:69: error: 'X A' is not the name of a header; write for example X-Probe"),
      Case(
        "twice", RuleTests.check("headers: {X-A: a, x-a: b}"), "3:77: error: 'x-a' is given twice; keep one of them"),
      Case(
        "a password for nobody", RuleTests.check("mysql: {password: p}"),
        "3:77: error: a password without a user; add user, or remove the password"),
      Case(
        "eject above degrade", RuleTests.check("predictive: {degrade_below: 30, eject_below: 30}"),
        "3:104: error: eject_below (30) is not below degrade_below (30); make it less, for example 30 and 70"),
      Case(
        "predictive without a word", RuleTests.check("predictive: {}"),
        "3:71: error: 'predictive' says nothing; add degrade_below or eject_below, or remove it"),
    ])
  func refused(_ example: Case) {
    #expect(diagnostics(example.yaml).filter { !$0.contains(": warning:") } == example.expected)
  }

  @Test("criteria replace a type that stands beside them, and say so")
  func besideType() throws {
    let yaml = RuleTests.check("type: http, path: /x, criteria: {tcp: {port: 9}}")
    let warnings = ["type", "path"].map {
      "'\($0)' does nothing beside 'criteria', which replaces it; write it inside criteria, or remove it"
    }
    let said = diagnostics(yaml).map { $0.split(separator: ": ", maxSplits: 2) }
    #expect(said.allSatisfy { $0[1] == "warning" })
    #expect(warnings.allSatisfy { warning in said.contains { $0[2] == warning } }, "\(said)")
  }

  @Test func `groups have all their settings`() throws {
    let group = try load(
      twoBackends.replacing("mode: normal", with: "mode: active-passive\n    primary: a") + """
            balance: consistent_hash
            maximum_failovers: {count: 4, within: 10m}
            pin: true
            zone_affinity: true
            slow_start: 10s
            shadow: true
            health_check: {predictive: {degrade_below: 70, eject_below: 30}}

        """
    ).groups[0]
    #expect(group.balance == .consistentHash && group.pin && group.zoneAffinity && group.shadow)
    #expect(group.maximumFailovers == FailoverLimit(count: 4, within: .minutes(10)))
    #expect(group.slowStart == .seconds(10))
    #expect(group.predictive == Predictive(degradeBelow: 70, ejectBelow: 30))
  }

  @Test(arguments: Balance.allCases) func `every balance can be chosen`(balance: Balance) throws {
    #expect(try load(twoBackends + "    balance: \(balance.rawValue)\n").groups[0].balance == balance)
  }
}
