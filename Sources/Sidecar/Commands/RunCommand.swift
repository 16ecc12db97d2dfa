import ArgumentParser
import CLinux
import Handover
import LebaConfiguration
import Logging
import Model

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "run", abstract: "Run the sidecar (the default command).")

  @OptionGroup var file: ConfigurationOption

  @Option(
    help: "The data plane's event engine: auto, io_uring or epoll. Overrides the configuration.", transform: { try choice($0) })
  var engine: EngineChoice?

  @Option(help: "trace, debug, info, notice, warning, error or critical.", transform: { try choice($0) })
  var logLevel: Logger.Level = .info

  @Flag(inversion: .prefixedNo, help: "Read the configuration again when its file changes.")
  var watchConfig = true

  @Flag(
    help: """
      Take the listening sockets over from the process that runs with the same state directory: no connection is refused or cut \
      off, and that process ends when its sessions have. Without one it is an ordinary start.
      """)
  var takeOver = false

  func run() async throws {
    let activation = SocketActivation.take()
    let watch = watchConfig ? ConfigurationWatch(file.path) : nil
    var configuration = try file.load(onError: .usage)
    if let engine { configuration.engine = engine }
    // The text and the tree of a large file are many times what is kept of them.
    leba_trim_heap()
    let logger = Logger.sidecar(level: logLevel)
    for complaint in activation.complaints { logger.warning("\(complaint)") }
    do {
      let takeover = try takeOver ? beginTakeover(configuration.stateDirectory, logger) : nil
      let sidecar = try Sidecar(
        configuration, file: file.path, watch: watch, inherited: activation.listeners + (takeover?.listeners ?? []),
        takeover: takeover, logger: logger)
      try await sidecar.run()
    } catch let error as StartError {
      throw CommandFailure(.requestFailed, error.description)
    }
  }
}

private func beginTakeover(_ stateDirectory: String, _ logger: Logger) throws(StartError) -> Takeover? {
  do throws(HandoverError) {
    if let takeover = try Takeover.begin(stateDirectory: stateDirectory) { return takeover }
  } catch {
    throw StartError("cannot take over from the process that runs with the state directory \(stateDirectory): \(error)")
  }
  logger.notice("no process runs with the state directory \(stateDirectory): there is nothing to take over")
  return nil
}

private func choice<Choice: CaseIterable & RawRepresentable<String>>(_ text: String) throws -> Choice {
  guard let choice = Choice(rawValue: text) else {
    throw ValidationError("'\(text)' is not one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
  }
  return choice
}
