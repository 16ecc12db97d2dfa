import ArgumentParser

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")
  static let current = "0.1.0"

  func run() { print("leba \(Self.current)") }
}
