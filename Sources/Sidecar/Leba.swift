import ArgumentParser
import CLinux
import Foundation

/// `leba`: the executable. Commands parse and print; everything else is in the libraries they wire together.
@main
struct Leba: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leba",
    abstract: "A sidecar that follows DNS, watches backends and fails over without the application noticing.",
    subcommands: [
      RunCommand.self, CheckCommand.self, StatusCommand.self, ExplainCommand.self, FailoverCommand.self, DrainCommand.self,
      UndrainCommand.self, MaintenanceCommand.self, EventsCommand.self, ReloadCommand.self, ResolveCommand.self,
      VersionCommand.self,
    ],
    defaultSubcommand: RunCommand.self)

  /// The parser's own exit code for wrong usage is 64; the contract says 2.
  static func main() async {
    leba_share_heap()
    do {
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch let failure as CommandFailure {
      if !failure.message.isEmpty { printError("error: \(failure.message)") }
      Foundation.exit(failure.code.rawValue)
    } catch {
      let code = exitCode(for: error)
      let text = fullMessage(for: error)
      if code == .success {
        print(text)
        Foundation.exit(0)
      }
      printError(text)
      Foundation.exit(code == .validationFailure ? CommandFailure.Code.usage.rawValue : code.rawValue)
    }
  }
}

/// How a command ends when it does not succeed.
struct CommandFailure: Error {
  enum Code: Int32 {
    case requestFailed = 1
    case usage = 2
    case unreachable = 3
  }

  let code: Code
  let message: String

  init(_ code: Code, _ message: String = "") {
    self.code = code
    self.message = message
  }
}

func printError(_ text: String) {
  FileHandle.standardError.write(Data((text + "\n").utf8))
}
