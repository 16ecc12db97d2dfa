import Model
import Testing

@testable import LebaConfiguration

/// Every YAML block of the requirements document loads as it is written there, with the backends it names declared.
@Suite struct RequirementsTests {
  private func declaring(_ ids: String...) -> String {
    "backends:\n" + ids.enumerated().map { "  - {id: \($1), address: 10.0.0.\($0 + 1), port: 80, protocol: http}\n" }.joined()
  }

  private func primaries(_ configuration: Configuration) -> [String] {
    configuration.groups.map { group in
      let primary = group.members.filter(\.isPrimary).map { member in
        switch member.origin {
        case .fixed(let id, _): id.rawValue
        case .domain(let domain, _): domain.rawValue
        }
      }
      return "\(group.name) \(group.mode.rawValue) \(primary.joined(separator: ","))"
    }
  }

  @Test func definingGroups() throws {
    let configuration = try load(
      declaring("backend1", "backend2", "backend3", "db1", "db2") + RequirementsDocument.definingGroups)
    #expect(primaries(configuration) == ["app-servers active-passive backend1", "db-servers normal db1"])
    #expect(configuration.groups.map(\.members.count) == [3, 2])
  }

  @Test func dnsDiscovery() throws {
    let configuration = try load(RequirementsDocument.dnsDiscovery)
    #expect(primaries(configuration) == ["postgres-cluster active-passive primary-db.example.com"])
    #expect(configuration.domains.map(\.domain) == ["primary-db.example.com", "replica-db.example.com"])
    #expect(configuration.listeners.map(\.address.description) == ["127.0.0.1:5432"])
    #expect(configuration.warnings == [])
  }

  @Test func customHealthChecks() throws {
    let configuration = try load(declaring("backend1", "backend2") + RequirementsDocument.customHealthChecks)
    #expect(
      configuration.groups[0].members.map(\.check)
        == Array(
          repeating: HealthCheck(
            kind: .http(HTTPCheck(path: "/custom-health")), interval: .seconds(5), timeout: .seconds(2), healthyThreshold: 3,
            unhealthyThreshold: 2), count: 2))
  }

  @Test func severalGroups() throws {
    let configuration = try load(
      declaring("web1", "web2", "web3", "app1", "app2", "db1", "db2") + RequirementsDocument.severalGroups)
    #expect(
      primaries(configuration) == ["web-tier active-passive web1", "app-tier active-passive app1", "db-tier active-passive db1"])
    // All on port 80: one of them has it, the others are told.
    #expect(configuration.listeners.count == 1)
    #expect(configuration.warnings.count == 2)
  }

  @Test func withoutTheBackendsEveryNameIsReported() {
    #expect(diagnostics(RequirementsDocument.definingGroups).count == 5)
  }
}
