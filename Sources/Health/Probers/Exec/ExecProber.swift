import Model
import NIOCore
import NIOPosix

/// Runs a program; its exit status is the verdict, and the first line it prints is the detail of a failure.
///
/// A program that cannot be run at all is a `bad_response`: `local` would be held against nobody, and a path that is
/// misspelt stays so until somebody is told.
final class ExecProber: Prober {
  /// A thread for each program that runs, so that one that cannot even be killed (it waits for a dead disk) holds up no other.
  /// Started with the first check of this kind.
  private static let pool: NIOThreadPool = {
    let pool = NIOThreadPool(numberOfThreads: maximumRunning)
    pool.start()
    return pool
  }()
  /// Processes of ours at one time, for all members; others wait their turn, inside their timeout.
  private static let maximumRunning = 16

  private let command: [String]
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private var execution: Execution?

  init(check: ExecCheck, address: Model.SocketAddress, loop: any EventLoop, onEvent: @escaping (ProberEvent) -> Void) {
    command = check.command(for: address)
    self.loop = loop
    self.onEvent = onEvent
  }

  func begin() {
    let execution = Execution(command)
    self.execution = execution
    Self.pool.runIfActive(eventLoop: loop) { execution.run() }
      .assumeIsolated()
      .whenSuccess { [weak self] ending in
        // A cancelled one ends too, some time.
        guard let self, self.execution === execution else { return }
        self.execution = nil
        self.onEvent(ending.event)
      }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    let hasStarted = execution?.hasStarted ?? true
    stop()
    if hasStarted { return ProbeFailure(.timedOut, "no end of \(printable(command.first ?? "")) within \(timeout.text)") }
    return ProbeFailure(.local, "\(Self.maximumRunning) other programs were running for \(timeout.text)")
  }

  func stop() {
    execution?.cancel()
    execution = nil
  }
}

extension ExecCheck {
  func command(for address: Model.SocketAddress) -> [String] {
    let (host, port) =
      switch address {
      case .ip(let address, let port): ("\(address)", "\(port)")
      case .unix(let path): (path, "")
      }
    return command.map { $0.replacing("{address}", with: host).replacing("{port}", with: port) }
  }
}

extension Execution.Ending {
  fileprivate var event: ProberEvent {
    switch self {
    case .exited(0, _): .passed(nil, nil)
    case .exited(let status, let line): .failed(Self.failure("exit status \(status)", line), sessionEnded: false)
    case .signalled(let signal, let line): .failed(Self.failure("ended by signal \(signal)", line), sessionEnded: false)
    case .notRun(let failure): .failed(failure, sessionEnded: false)
    }
  }

  private static func failure(_ what: String, _ line: String) -> ProbeFailure {
    ProbeFailure(.badResponse, line.isEmpty ? what : "\(what): \(printable(line))")
  }
}
