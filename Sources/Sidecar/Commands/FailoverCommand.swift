import ArgumentParser
import Foundation

struct FailoverCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "failover", abstract: "Make a backend the primary of its group, or take that choice back.")

  @Argument(help: "The failover group.") var group: String
  @Argument(help: "The backend that becomes primary, by its id.") var backend: String?
  @OptionGroup var api: APIOption

  @Flag(help: "Choose it although its probes fail. A server whose role has to be proved still gets no traffic before it is.")
  var force = false

  @Flag(help: "No automatic failover away from it until somebody chooses again.")
  var pin = false

  @Flag(help: "Take back an earlier choice: the group decides by itself again.")
  var lift = false

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

  func validate() throws {
    if lift, backend != nil || force || pin { throw ValidationError("--lift takes the group alone") }
    if !lift, backend == nil { throw ValidationError("name the backend that becomes primary, or write --lift") }
  }

  func run() async throws {
    let client = try api.client()
    let path = "/api/v1/groups/\(group.pathEscaped)"
    let query = dryRun ? "?dry_run=true" : ""
    guard let backend else {
      let answer: Answer.Group = try await client.delete("\(path)/override\(query)")
      print(dryRun ? "the choice of primary of \(group) can be taken back; nothing was changed" : answer.title)
      return
    }
    let answer: Answer.Group = try await client.post(
      "\(path)/primary\(query)", Body(backend: backend, force: force, pin: pin))
    print(dryRun ? "\(backend) can become the primary of \(group); nothing was changed" : answer.title)
  }
}
