import CLinux
import Glibc
import Model
import Synchronization
import Threads

/// What the control path asks of a worker. Executed in order, between two passes over the sockets.
enum Command: Sendable {
  case apply(RoutingChange)
  case addListener(ListenerSpecification, ListeningSocket, Reply<EngineError?>)
  /// The same sockets under another specification: who waits in their backlogs notices nothing.
  case replaceListener(ListenerName, with: ListenerSpecification, Reply<EngineError?>)
  /// For another process, which is then to close them.
  case copyListeners(Reply<[ListenerCopy]>)
  /// Answered once the listening socket is closed, so that its port can be bound again.
  case removeListener(ListenerName, Reply<Void>)
  case reportStatistics(Reply<WorkerStatistics>)
  /// For a worker whose settings say not to accept at once.
  case startAccepting
  case drain(endsAt: Instant, ListenerEnd, whenDrained: @Sendable () -> Void)
  case stop
}

/// The way into a worker: a locked list and an eventfd that ends its wait. The data path looks here only when the eventfd says so.
final class Mailbox: Sendable {
  private struct State {
    var commands: [Command] = []
    var isClosed = false
  }

  let wake: Int32
  private let state = Mutex(State())

  init() throws(EngineError) {
    let descriptor = leba_eventfd()
    guard descriptor >= 0 else { throw EngineError(operation: "eventfd", errno: -descriptor) }
    wake = descriptor
  }

  deinit { Glibc.close(wake) }

  /// False when the worker has ended and nobody will execute the command.
  func post(_ command: Command) -> Bool {
    let (accepted, wasEmpty) = state.withLock { state in
      guard !state.isClosed else { return (false, false) }
      let wasEmpty = state.commands.isEmpty
      state.commands.append(command)
      return (true, wasEmpty)
    }
    if accepted && wasEmpty { leba_eventfd_signal(wake) }
    return accepted
  }

  func takeAll() -> [Command] {
    state.withLock { state in
      defer { state.commands = [] }
      return state.commands
    }
  }

  /// The rest that nobody will execute any more.
  func close() -> [Command] {
    state.withLock { state in
      state.isClosed = true
      defer { state.commands = [] }
      return state.commands
    }
  }
}
