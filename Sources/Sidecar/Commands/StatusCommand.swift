import ArgumentParser
import Foundation

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "status", abstract: "Show groups and backends as a table.")

  @OptionGroup var api: APIOption

  @Flag(help: "Print the API's answers as JSON instead of a table.")
  var json = false

  func run() async throws {
    let client = try api.client()
    let list: Answer.Groups = try await client.get("/api/v1/groups")
    var groups: [Answer.Group] = []
    for group in list.groups { groups.append(try await client.get("/api/v1/groups/\(group.name.pathEscaped)")) }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.keyEncodingStrategy = .convertToSnakeCase
      print(String(decoding: try encoder.encode(["groups": groups]), as: UTF8.self))
      return
    }
    if groups.isEmpty { print("no groups") }
    for (position, group) in groups.enumerated() {
      if position > 0 { print() }
      print(group.title)
      for line in group.table.lines(indent: 2) { print(line) }
    }
  }
}

/// The parts of the API's answers that the command line shows.
enum Answer {
  struct Groups: Codable { let groups: [Summary] }
  struct Summary: Codable { let name: String }

  struct Group: Codable {
    let name: String
    let mode: String
    let state: String
    let primaryKey: String?
    let primaryHealthy: Bool
    let totalBackends: Int
    let healthyBackends: Int
    let failedBackends: Int
    let lastFailover: String?
    let failoverCount: Int
    let pinned: Bool
    let backends: [Backend]

    var title: String {
      let failovers = lastFailover.map { ", \(failoverCount) failover\(failoverCount == 1 ? "" : "s"), last \($0)" } ?? ""
      return "\(name) (\(mode)): \(state.replacing("_", with: " ")), primary \(primaryKey ?? "none")\(pinned ? " (pinned)" : ""), "
        + "\(healthyBackends) of \(totalBackends) healthy\(failovers)"
    }

    var table: TextTable {
      var table = TextTable(["BACKEND", "ADDRESS", "HEALTH", "ROLE", "SCORE", "CONNECTIONS", "WHY"])
      for backend in backends {
        table.add([
          (backend.id == primaryKey ? "* " : "  ") + backend.id, backend.endpoint,
          backend.health, backend.role, backend.score.map(String.init) ?? "-", String(backend.activeConnections), backend.reason,
        ])
      }
      return table
    }
  }

  struct Backend: Codable {
    let id: String
    let address: String
    let port: Int?
    let `protocol`: String
    let weight: Int
    let zone: String?
    let health: String
    let score: Int?
    let role: String
    let administrative: String
    let discovered: String
    let eligible: Bool
    let reason: String
    let activeConnections: Int

    var endpoint: String {
      guard let port else { return address }
      return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
  }
}
