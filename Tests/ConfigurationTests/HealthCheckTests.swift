import Model
import Testing

@testable import LebaConfiguration

/// Which question a member is asked.
@Suite struct HealthCheckTests {
  private func kind(_ check: String, of proto: BackendProtocol = .tcp) throws -> HealthCheck.Kind {
    try load(
      """
      backends: [{id: a, address: 10.0.0.1, port: 80, protocol: \(proto.rawValue)}]
      failover_groups: [{name: g, mode: normal, backends: [a], health_check: {\(check)}}]
      """
    ).groups[0].members[0].check.kind
  }

  @Test(arguments: BackendProtocol.allCases)
  func theProtocolDecides(proto: BackendProtocol) throws {
    let expected: HealthCheck.Kind =
      switch proto {
      case .http: .http(HTTPCheck(path: "/", statuses: [200...399]))
      case .postgres: .postgres(PostgresCheck(depth: .startup))
      case .https: .http(HTTPCheck(tls: TLSCheck()))
      case .tls: .tls(TLSCheck())
      case .mysql: .mysql(MySQLCheck())
      case .redis: .redis(RedisCheck())
      case .tcp, .grpc: .tcp
      }
    #expect(try kind("", of: proto) == expected)
    #expect(try kind("interval: 1s", of: proto) == expected)
  }

  @Test func aTypeOverridesTheProtocol() throws {
    #expect(try kind("type: tcp", of: .postgres) == .tcp)
    #expect(try kind("type: http", of: .tcp) == .http(HTTPCheck()))
    #expect(try kind("type: postgres", of: .tcp) == .postgres(PostgresCheck()))
  }

  @Test func aSentinelIsForConnectionsThatSayNothing() throws {
    func check(_ text: String) throws -> HealthCheck {
      try load(
        """
        backends: [{id: a, address: 10.0.0.1, port: 80, protocol: tcp}]
        failover_groups: [{name: g, mode: normal, backends: [a], health_check: {\(text)}}]
        """
      ).groups[0].members[0].check
    }
    #expect(try check("interval: 1s").keepsSentinel == false)
    #expect(try check("sentinel: true").keepsSentinel == true)
    #expect(try check("type: tcp, sentinel: true").keepsSentinel == true)
    #expect(throws: ConfigurationError.self) { try check("type: redis, sentinel: true") }
  }

  @Test func keysOfOneTypeNameIt() throws {
    #expect(try kind("path: /x") == .http(HTTPCheck(path: "/x")))
    #expect(try kind("status: 204") == .http(HTTPCheck(statuses: [204...204])))
    #expect(try kind("status: \"200-299\"") == .http(HTTPCheck(statuses: [200...299])))
    #expect(try kind("status: [200, 300-399]") == .http(HTTPCheck(statuses: [200...200, 300...399])))
    #expect(
      try kind("body_contains: all is well, host: \"app.example:80\"")
        == .http(HTTPCheck(bodyContains: "all is well", host: "app.example:80")))
    #expect(try kind("postgres: {}") == .postgres(PostgresCheck()))
  }

  @Test func theDepthFollowsTheUser() throws {
    #expect(try kind("postgres: {database: d}") == .postgres(PostgresCheck(database: "d", depth: .startup)))
    #expect(try kind("postgres: {user: u}") == .postgres(PostgresCheck(user: "u", depth: .role)))
    #expect(try kind("postgres: {user: u, depth: startup}") == .postgres(PostgresCheck(user: "u", depth: .startup)))
    #expect(
      try kind("postgres: {user: u, password: p, depth: role, tls: disable}")
        == .postgres(PostgresCheck(user: "u", password: Secret("p"), depth: .role, tls: .disable)))
  }

  @Test func timing() throws {
    let check = try load(
      twoBackends + "    health_check: {interval: 1s, timeout: 2s, healthy_threshold: 3, unhealthy_threshold: 4}\n"
    ).groups[0].members[1].check
    #expect(
      check == HealthCheck(kind: .tcp, interval: .seconds(1), timeout: .seconds(2), healthyThreshold: 3, unhealthyThreshold: 4))
    let usual = try load(twoBackends).groups[0].members[0].check
    #expect(
      usual
        == HealthCheck(
          kind: .tcp, interval: .milliseconds(300), timeout: .milliseconds(300), healthyThreshold: 2, unhealthyThreshold: 2))
  }
}
