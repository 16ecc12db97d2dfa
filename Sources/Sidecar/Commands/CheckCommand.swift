import ArgumentParser
import Foundation
import LebaConfiguration

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Validate a configuration and print each group's worst-case detection and switch-over time.")

  @OptionGroup var file: ConfigurationOption

  func run() throws {
    // The contract gives `check` an exit code of its own for a broken file: 1, it was asked a question and the answer is no.
    let configuration = try file.load(onError: .requestFailed)
    for line in configuration.detectionReport() { print(line) }
  }
}

/// `--config FILE`, shared by the commands that read one.
struct ConfigurationOption: ParsableArguments {
  @Option(name: [.customLong("config"), .customShort("c")], help: "The configuration file.")
  var path = "config.yaml"

  /// Loads the file, printing warnings, or all of its errors before it throws.
  func load(onError code: CommandFailure.Code) throws(CommandFailure) -> Configuration {
    try Configuration.load(printing: path, onError: code)
  }
}

extension Configuration {
  static func load(printing path: String, onError code: CommandFailure.Code) throws(CommandFailure) -> Configuration {
    do throws(ConfigurationError) {
      let configuration = try load(file: path, environment: ProcessInfo.processInfo.environment)
      for warning in configuration.warnings { printError("\(warning)") }
      return configuration
    } catch {
      for diagnostic in error.diagnostics { printError("\(diagnostic)") }
      throw CommandFailure(code)
    }
  }
}
