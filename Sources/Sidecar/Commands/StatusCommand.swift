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
    if json {
      var groups: [JSONText] = []
      for group in list.groups { groups.append(try await client.getJSON("/api/v1/groups/\(group.name.pathEscaped)")) }
      JSONText(key: "groups", list: groups).print()
      return
    }
    var groups: [Answer.Group] = []
    for group in list.groups { groups.append(try await client.get("/api/v1/groups/\(group.name.pathEscaped)")) }
    if groups.isEmpty { print("no groups") }
    for (position, group) in groups.enumerated() {
      if position > 0 { print() }
      print(group.title)
      for line in group.notes { print("  \(line)") }
      for line in group.table.lines(indent: 2) { print(line) }
    }
  }
}
