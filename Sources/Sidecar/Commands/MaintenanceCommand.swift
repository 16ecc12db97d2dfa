import ArgumentParser
import ControlAPI
import LebaConfiguration
import Model

struct MaintenanceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "maintenance", abstract: "Plan when backends are to be left alone.",
    subcommands: [MaintenanceListCommand.self, MaintenanceAddCommand.self, MaintenanceCancelCommand.self],
    defaultSubcommand: MaintenanceListCommand.self)
}

struct MaintenanceListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "Show all windows, by next start.")

  @OptionGroup var api: APIOption

  @Flag(help: "Print the API's answer as JSON instead of a table.")
  var json = false

  func run() async throws {
    let client = try api.client()
    if json { return try await client.getJSON("/api/v1/maintenance").print() }
    let list: Window.List = try await client.get("/api/v1/maintenance")
    if list.windows.isEmpty { return print("no maintenance is planned") }
    var table = TextTable(["ID", "BACKEND", "STATE", "START", "FOR", "REPEAT", "PRE-DRAIN", "FROM", "WHY"])
    for window in list.windows {
      table.add([
        window.id, window.backend, window.state, window.nextStart ?? "-", window.duration, window.repeat ?? "once", window.preDrain,
        window.origin, window.reason ?? "",
      ])
    }
    for line in table.lines() { print(line) }
  }
}

struct MaintenanceAddCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "add", abstract: "Plan a window, once or repeating.")

  @Argument(help: "The backend, by its id.") var backend: String

  @Option(help: "When: 2026-12-01T02:00:00Z, with any offset, or now.")
  var start: String

  @Option(name: .customLong("for"), help: "How long: 1h, 1h30m.")
  var duration: String

  @Option(name: .customLong("repeat"), help: "daily or weekly.")
  var repetition: String?

  @Option(help: "How long before the start it gets no new connections any more: 2m.")
  var preDrain: String?

  @Option(help: "What the window is called. (default: made up)")
  var id: String?

  @Flag(help: "Check and answer, change nothing.")
  var dryRun = false

  @OptionGroup var api: APIOption

  private struct Body: Encodable {
    let id: String?
    let backend: String
    let start: String
    let duration: String
    let `repeat`: String?
    let preDrain: String?

    enum CodingKeys: String, CodingKey {
      case id, backend, start, duration, `repeat`
      case preDrain = "pre_drain"
    }
  }

  func validate() throws {
    if let repetition, MaintenanceWindow.Repetition(rawValue: repetition) == nil {
      throw ValidationError("--repeat '\(repetition)' is neither daily nor weekly")
    }
    for (option, text) in [("--for", duration), ("--pre-drain", preDrain)] {
      if let text, Duration(text: text) == nil {
        throw ValidationError("\(option) '\(text)' is not a duration; write for example 1h30m")
      }
    }
  }

  func run() async throws {
    let body = Body(
      id: id, backend: backend, start: start == "now" ? WallTime.current.text : start, duration: duration, repeat: repetition,
      preDrain: preDrain)
    let window: Window = try await api.client().post("/api/v1/maintenance" + (dryRun ? "?dry_run=true" : ""), body)
    let period = window.repeat.map { ", \($0)" } ?? ""
    let description = "\(window.backend) from \(window.nextStart ?? window.start) for \(window.duration)\(period)"
    print(dryRun ? "possible: \(description); nothing was changed" : "\(window.id): \(description), \(window.state)")
  }
}

struct MaintenanceCancelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Take a window back; one that has begun ends.")

  @Argument(help: "The window, by its id.") var id: String

  @Flag(help: "Check and answer, change nothing.")
  var dryRun = false

  @OptionGroup var api: APIOption

  func run() async throws {
    let path = "/api/v1/maintenance/\(id.pathEscaped)" + (dryRun ? "?dry_run=true" : "")
    let _: Answer.Deleted = try await api.client().delete(path)
    print(dryRun ? "\(id) can be cancelled; nothing was changed" : "\(id) is cancelled")
  }
}

/// A window as the API answers it.
private struct Window: Decodable {
  struct List: Decodable { let windows: [Window] }

  let id: String
  let backend: String
  let start: String
  let duration: String
  let `repeat`: String?
  let preDrain: String
  let origin: String
  let state: String
  let nextStart: String?
  let reason: String?
}
