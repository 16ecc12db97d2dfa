import ArgumentParser
import Foundation

struct FailoverCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "failover", abstract: "Make a backend the primary of its group.")

  @Argument(help: "The failover group.") var group: String
  @Argument(help: "The backend that becomes primary, by its id.") var backend: String
  @OptionGroup var api: APIOption

  @Flag(help: "Choose it although its probes fail. A server whose role has to be proved still gets no traffic before it is.")
  var force = false

  @Flag(help: "No automatic failover away from it until somebody chooses again.")
  var pin = false

  @Flag(help: "Check and answer, change nothing.")
  var dryRun = false

  private struct Body: Encodable {
    let backend: String
    let force: Bool
    let pin: Bool

    enum CodingKeys: String, CodingKey {
      case backend = "backend_id"
      case force, pin
    }
  }

  func run() async throws {
    let client = try api.client()
    let path = "/api/v1/groups/\(group.pathEscaped)/primary" + (dryRun ? "?dry_run=true" : "")
    let answer: Answer.Group = try await client.post(path, Body(backend: backend, force: force, pin: pin))
    if dryRun {
      print("\(backend) can become the primary of \(group); nothing was changed")
    } else {
      print(answer.title)
    }
  }
}
