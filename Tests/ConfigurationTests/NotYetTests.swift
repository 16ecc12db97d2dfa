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
      Case(
        "sticky", RuleTests.group("name: g, mode: normal, backends: [a], sticky: {cookie: c, ttl: 1h}"), notYet("3:52", "sticky")),
      Case("auth_enabled", "api_security: {auth_enabled: true}", notYet("1:30", "auth_enabled")),
      Case("rate_limit_enabled", "api_security: {rate_limit_enabled: true}", notYet("1:36", "rate_limit_enabled")),
      Case("allowlist_enabled", "api_security: {allowlist_enabled: true}", notYet("1:35", "allowlist_enabled")),
    ])
  func refused(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  @Test(
    arguments: [
      "api_security: {auth_enabled: false, rate_limit_enabled: false, allowlist_enabled: false}",
      "api_security: {rate_limit_enabled: false, requests_per_minute: 60, allowed_cidrs: [\"::1/128\"]}",
    ])
  func neutralValuesAreFine(yaml: String) { #expect(errors(yaml) == []) }

  @Test(
    arguments: [
      Case(
        "sticky", RuleTests.group("name: g, mode: normal, backends: [a], sticky: {cooky: c}"),
        "3:52: error: 'sticky' is not supported by this version yet; remove it",
        "3:53: error: unknown key 'cooky'; the nearest known key is 'cookie'")
    ])
  func typesAreChecked(_ example: Case) { #expect(errors(example.yaml) == example.expected) }

  /// Keys of a section belong to that section only.
  @Test func anotherSectionsKeysAreUnknown() {
    #expect(errors("api: {sticky: {}}") == ["1:7: error: unknown key 'sticky'; the nearest known key is 'address'"])
  }
}
