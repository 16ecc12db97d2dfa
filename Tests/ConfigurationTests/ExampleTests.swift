import Model
import Testing

@testable import LebaConfiguration

/// What people copy must load without a word.
@Suite struct ExampleTests {
  private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
  private let environment = ["LEBA_PG_PASSWORD": "secret"]

  @Test(arguments: ["minimal", "postgres", "web", "multi", "srv", "failover"])
  func examples(name: String) throws {
    let configuration = try Configuration.load(file: "\(Self.root)/examples/\(name).yaml", environment: environment)
    #expect(configuration.warnings == [])
    #expect(!configuration.groups.isEmpty)
    #expect(Set(configuration.listeners.map(\.group)) == Set(configuration.groups.map(\.name)))
  }

  /// Together with the zone in its comment: what DNS says there makes the groups that the example promises.
  @Test func topologyInDNS() throws {
    let configuration = try Configuration.load(file: "\(Self.root)/examples/dns-topology.yaml", environment: environment)
    #expect(configuration.warnings == [])
    var topology = configuration.topology
    #expect(topology.groups == [])
    _ = topology.apply(TextAttributes(isPrimary: true, group: "orders-db"), for: "db1.example.com")
    _ = topology.apply(TextAttributes(group: "orders-db"), for: "db2.example.com")
    _ = topology.apply(TextAttributes(group: "web", maintenance: true), for: "_http._tcp.example.com")
    #expect(topology.groups.map(\.name) == ["orders-db", "web"])
    #expect(topology.groups.map(\.mode) == [.activePassive, .normal])
    #expect(topology.groups.map(origins) == [["db1.example.com:5432*", "db2.example.com:5432"], ["_http._tcp.example.com"]])
    #expect(Set(configuration.listeners.map(\.group)) == ["orders-db", "web"])
    #expect(topology.ignored == [:])
  }

  @Test func minimalIsThreeLines() throws {
    let text = try Document.text(ofFile: Self.root + "/examples/minimal.yaml")
    #expect(text.split(separator: "\n").count == 3)
  }

  /// The documents' own configurations: each fenced YAML block that is a whole file. Fragments are not.
  @Test(arguments: ["docs/CONFIGURATION.md", "README.md"])
  func documents(name: String) throws {
    let text = try Document.text(ofFile: "\(Self.root)/\(name)")
    let blocks = text.split(separator: "```yaml\n", omittingEmptySubsequences: false).dropFirst().compactMap { block in
      block.split(separator: "\n```").first.map(String.init)
    }
    #expect(!blocks.isEmpty)
    for block in blocks {
      #expect(diagnostics(block, environment: environment) == [], "\(block)")
    }
  }
}
