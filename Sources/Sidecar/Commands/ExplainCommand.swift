import ArgumentParser
import ControlAPI

struct ExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "Show why a group is served as it is, every input, and what would change it.")

  @Argument(help: "The failover group.") var group: String
  @OptionGroup var api: APIOption

  @Flag(help: "Print the API's answer as JSON instead of text.")
  var json = false

  func run() async throws {
    let client = try api.client()
    let path = "/api/v1/groups/\(group.pathEscaped)/explain"
    if json { return try await client.getJSON(path).print() }
    let explanation: ExplanationView = try await client.get(path)
    for line in explanation.lines { print(line) }
  }
}

extension ExplanationView {
  /// The decision first: at three in the morning that is what is read.
  fileprivate var lines: [String] {
    var lines = ["\(group): \(decision)", "  rule \(rule), \(mode), \(state.replacing("_", with: " "))"]
    if !inputs.isEmpty {
      var table = TextTable(["INPUT", "VALUE", "AGE"])
      for input in inputs { table.add([input.name, input.value, input.ageSeconds?.ageText ?? "-"]) }
      lines += [""] + table.lines(indent: 2)
    }
    lines += ["", "  BACKENDS"]
    for backend in backends {
      let mark = backend.id == primaryKey ? "* " : "  "
      lines.append("  \(mark)\(backend.id): \(backend.reason)\(backend.designated ? " (named as primary)" : "")")
      lines.append("      " + backend.facts.map(\.text).joined(separator: ", "))
    }
    lines += ["", "  WHAT WOULD CHANGE IT"]
    lines += wouldChange.isEmpty ? ["    nothing that is known"] : wouldChange.map { "  - \($0)" }
    return lines
  }
}

extension ExplanationView.Input {
  fileprivate var text: String {
    let age = ageSeconds.map { isProof ? " (\($0.ageText) ago)" : " (for \($0.ageText))" } ?? ""
    return "\(name.replacing("_", with: " ")) \(value.replacing("_", with: " "))\(age)"
  }

  /// The backend said so at a moment; the rest holds since.
  private var isProof: Bool { ["role", "timeline", "lag", "lag_bytes"].contains(name) }
}
