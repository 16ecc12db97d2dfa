import ArgumentParser

struct DrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain", abstract: "Send a backend no new connections, in all of its groups, until it is undrained.")

  @OptionGroup var order: DrainOrder

  func run() async throws { try await order.carryOut("drain", "is drained", "can be drained") }
}

struct UndrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "undrain", abstract: "Put a drained backend back into service.")

  @OptionGroup var order: DrainOrder

  func run() async throws { try await order.carryOut("undrain", "is in service", "can be put back into service") }
}

/// What both take.
struct DrainOrder: ParsableArguments {
  @Argument(help: "The backend, by its id.") var backend: String
  @OptionGroup var api: APIOption

  @Flag(help: "Check and answer, change nothing.")
  var dryRun = false

  func carryOut(_ call: String, _ done: String, _ possible: String) async throws {
    let path = "/api/v1/backends/\(backend.pathEscaped)/\(call)" + (dryRun ? "?dry_run=true" : "")
    let answer: Answer.BackendHealth = try await api.client().post(path)
    print(dryRun ? "\(backend) \(possible); nothing was changed" : "\(backend) \(done)")
    for line in answer.table.lines(indent: 2) { print(line) }
  }
}
