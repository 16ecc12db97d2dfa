import ArgumentParser
import ControlAPI

struct ReloadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reload", abstract: "Have the sidecar read its configuration file again.",
    discussion: "A file that is not valid is refused whole: its errors are printed, and the running configuration stays.")

  @OptionGroup var api: APIOption

  @Flag(help: "Check and answer, change nothing.")
  var dryRun = false

  @Flag(help: "Print the API's answer as JSON instead of text.")
  var json = false

  func run() async throws {
    let path = "/api/v1/config/reload" + (dryRun ? "?dry_run=true" : "")
    let client = try api.client()
    if json { return try await client.postForJSON(path).print() }
    let report: ReloadReport = try await client.post(path)
    for line in report.lines(dryRun: dryRun) { print(line) }
    for warning in report.warnings { printError(warning) }
  }
}

extension ReloadReport {
  fileprivate func lines(dryRun: Bool) -> [String] {
    var lines = ["\(file): " + (changes.isEmpty ? "nothing changed" : dryRun ? "would change" : "reloaded")]
    for change in changes { lines.append("  \(change.action.rawValue) \(change.part)\(change.name.map { " \($0)" } ?? "")") }
    for key in needsRestart { lines.append("  \(key) counts after a restart") }
    return lines
  }
}
