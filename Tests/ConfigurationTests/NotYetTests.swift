import Testing

@testable import LebaConfiguration

/// What the contract has and this version has not: refused when it would mean something, accepted when it would not, and
/// checked in either case.
@Suite struct NotYetTests {
  private func errors(_ yaml: String) -> [String] { diagnostics(yaml).filter { !$0.contains(": warning:") } }

  private static func notYet(_ place: String, _ key: String) -> String {
    "\(place): error: '\(key)' is not supported by this version yet; remove it"
  }

  @Test(
    arguments: [
      Case("maintenance", "maintenance: [{backend: a, start: now, duration: 1h}]", notYet("1:14", "maintenance")),
      Case(
        "sticky", RuleTests.group("name: g, mode: normal, backends: [a], sticky: {cookie: c, ttl: 1h}"), notYet("3:52", "sticky")),
      Case(
        "zone_affinity", RuleTests.group("name: g, mode: normal, backends: [a], zone_affinity: true"),
        notYet("3:59", "zone_affinity")),
      Case("slow_start", RuleTests.group("name: g, mode: normal, backends: [a], slow_start: 10s"), notYet("3:56", "slow_start")),
      Case("pin", RuleTests.group("name: g, mode: normal, backends: [a], pin: true"), notYet("3:49", "pin")),
      Case(
        "maximum_failovers", RuleTests.group("name: g, mode: normal, backends: [a], maximum_failovers: {count: 4, within: 10m}"),
        notYet("3:63", "maximum_failovers")),
      Case("criteria", RuleTests.check("criteria: {all: [http: {path: /}]}"), notYet("3:69", "criteria")),
      Case("predictive", RuleTests.check("predictive: {degrade_below: 70}"), notYet("3:71", "predictive")),
      Case("maximum_lag", RuleTests.check("postgres: {maximum_lag: 10s}"), notYet("3:83", "maximum_lag")),
      Case("auth_enabled", "api_security: {auth_enabled: true}", notYet("1:30", "auth_enabled")),
      Case("rate_limit_enabled", "api_security: {rate_limit_enabled: true}", notYet("1:36", "rate_limit_enabled")),
      Case("allowlist_enabled", "api_security: {allowlist_enabled: true}", notYet("1:35", "allowlist_enabled")),
      Case("engine", "engine: io_uring", "1:9: error: 'io_uring' is not supported by this version yet; use auto or epoll"),
      Case(
        "balance", RuleTests.group("name: g, mode: normal, backends: [a], balance: peak_ewma"),
        "3:53: error: 'peak_ewma' is not supported by this version yet; use round_robin or least_connections"),
      Case(
        "type", RuleTests.check("type: exec"), "3:65: error: 'exec' is not supported by this version yet; use tcp, http or postgres"
      ),
      Case(
        "depth", RuleTests.check("postgres: {depth: ssl_request}"),
        "3:77: error: 'ssl_request' is not supported by this version yet; use startup or role"),
      Case(
        "tls", RuleTests.check("postgres: {tls: require}"),
        "3:75: error: 'require' is not supported by this version yet; use disable or prefer"),
    ])
  func refused(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  @Test(
    arguments: [
      "maintenance: []", "api_security: {auth_enabled: false, rate_limit_enabled: false, allowlist_enabled: false}",
      "api_security: {rate_limit_enabled: false, requests_per_minute: 60, allowed_cidrs: [\"::1/128\"]}",
      RuleTests.group("name: g, mode: normal, backends: [a], zone_affinity: false, slow_start: 0s, pin: false"),
      RuleTests.check("postgres: {user: a, tls: prefer}"),
    ])
  func neutralValuesAreFine(yaml: String) { #expect(errors(yaml) == []) }

  @Test(
    arguments: [
      Case(
        "sticky", RuleTests.group("name: g, mode: normal, backends: [a], sticky: {cooky: c}"),
        "3:52: error: 'sticky' is not supported by this version yet; remove it",
        "3:53: error: unknown key 'cooky'; the nearest known key is 'cookie'"),
      Case(
        "slow_start", RuleTests.group("name: g, mode: normal, backends: [a], slow_start: 10"),
        "3:56: error: '10' has no unit; write one, for example 5s or 250ms"),
      Case(
        "pin", RuleTests.group("name: g, mode: normal, backends: [a], pin: 1"),
        "3:49: error: '1' is neither true nor false; write true or false"),
      Case("maintenance", "maintenance: soon", "1:14: error: 'maintenance' is a single value; it must be a list"),
    ])
  func typesAreChecked(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  /// Keys of a section belong to that section only.
  @Test func anotherSectionsKeysAreUnknown() {
    #expect(errors("api: {sticky: {}}") == ["1:7: error: unknown key 'sticky'; the nearest known key is 'address'"])
  }
}
