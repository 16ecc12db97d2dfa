import ArgumentParser
import ControlAPI
import Foundation
import LebaConfiguration
import Model

struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Show what was decided and why, the newest last.")

  @Option(help: "Only of this group.")
  var group: String?

  @Option(help: "Only of these kinds, for example failover,hold_began.")
  var kind: String?

  @Option(help: "Not older than this: a time like 2026-12-01T02:00:00Z, or a duration like 2h.")
  var since: String?

  @Option(help: "At most so many of the past, 1 to 1000.")
  var limit = 100

  @Flag(help: "Go on with what happens from now on.")
  var follow = false

  @Flag(help: "Print one JSON object a line.")
  var json = false

  @OptionGroup var api: APIOption

  private struct List: Decodable {
    let events: [Line]
    let lastSequence: UInt64
    let nextBefore: UInt64?
  }

  func validate() throws {
    if !(1...EventQuery.maximumLimit).contains(limit) { throw ValidationError("--limit is a number from 1 to 1000") }
    if let since, WallTime(since, now: .current) == nil {
      throw ValidationError("--since '\(since)' is neither a time like 2026-12-01T02:00:00Z nor a duration like 2h")
    }
  }

  func run() async throws {
    let client = try api.client()
    let filter = [("group", group), ("kind", kind)]
    let list = try await client.getJSON("/api/v1/events" + query(filter + [("since", since), ("limit", String(limit))]))
    let page: List = try list.decode()
    for (event, line) in zip(page.events, list.items("events")).reversed() { show(event, line) }
    if page.nextBefore != nil { printError("older ones are left out; --limit shows more") }
    guard follow else { return }
    var follower = EventFollower(client: client, target: "/api/v1/events/stream" + query(filter), last: page.lastSequence)
    try await follower.run { data in
      let text = JSONText(data)
      if let event: Line = try? text.decode() { show(event, text) }
    }
  }

  private func query(_ pairs: [(String, String?)]) -> String {
    let parts = pairs.compactMap { name, value in value.map { "\(name)=\($0.queryEscaped)" } }
    return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
  }

  private func show(_ event: Line, _ text: JSONText) {
    if json { text.print(pretty: false) } else { print(event.text) }
    // At once, into a pipe too.
    fflush(nil)
  }

  /// An event as the API answers it.
  private struct Line: Decodable {
    let at: String
    let group: String
    let kind: String
    let from: String?
    let to: String?
    let reason: String

    var text: String {
      let change = from.map { from in "\(from) -> \(to ?? "nobody")" } ?? to ?? ""
      return "\(at)  \(group)  \(kind.replacing("_", with: " "))\(change.isEmpty ? "" : "  \(change)"): \(reason)"
    }
  }
}
