import CLinux
import Glibc
import Model
import Synchronization
import Threads

/// What the control path asks of a worker. Executed in order, between two passes over the sockets; a change of the routing table may take
/// several.
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
  /// Another worker lost a session to this backend.
  case mistrust(MemberKey)
  /// For a worker whose settings say not to accept at once.
  case startAccepting
  case drain(endsAt: Instant, ListenerEnd, whenDrained: @Sendable () -> Void)
  case stop
}

/// The way into a worker: a locked list and an eventfd that ends its wait. The data path looks here only when the eventfd says so.
///
/// Changes of the routing table lie apart from the other commands: the worker takes them over in small pieces, and what it has not begun
/// yet is replaced by what comes later for the same group. So they are never more than there are groups, however fast they come.
final class Mailbox: Sendable {
  private struct State {
    var commands: [Command] = []
    var changes = WaitingChanges()
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
    let (accepted, mustWake, retired) = state.withLock { state in
      guard !state.isClosed else { return (false, false, []) }
      let mustWake = state.commands.isEmpty
      switch command {
      case .apply(let change):
        let retired = state.changes.add(change)
        return (true, true, retired)
      case .addListener, .replaceListener, .copyListeners, .mistrust, .startAccepting, .removeListener, .reportStatistics, .drain,
        .stop:
        state.commands.append(command)
        return (true, mustWake, state.changes.takeRetired())
      }
    }
    if mustWake { leba_eventfd_signal(wake) }
    // Let go here and not by the worker: ten thousand names take longer to free than a worker has.
    withExtendedLifetime(retired) {}
    return accepted
  }

  /// What has changed since the last time.
  func takeChanges() -> [GroupStep] { state.withLock { $0.changes.take() } }

  /// What the worker is done with.
  func retire(_ steps: [GroupStep]) { state.withLock { $0.changes.retired.append(steps) } }

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

/// What becomes of one group.
struct GroupStep: Sendable {
  let group: GroupName
  /// Nil: it is in the table no longer.
  let route: GroupRoute?
}

/// Changes that the worker has not begun, one for each group at most.
private struct WaitingChanges {
  private var steps: [GroupStep] = []
  /// Where the step of a group is, while that has not been taken.
  private var places: [GroupName: Int] = [:]
  /// Waits for a thread that has the time to free it.
  var retired: [[GroupStep]] = []

  /// Returns what is to be freed outside of the lock.
  mutating func add(_ change: RoutingChange) -> [[GroupStep]] {
    if steps.isEmpty { places = [:] }
    var replaced: [GroupStep] = []
    for name in change.removed { add(GroupStep(group: name, route: nil), &replaced) }
    for route in change.changed { add(GroupStep(group: route.name, route: route), &replaced) }
    return takeRetired() + [replaced]
  }

  private mutating func add(_ step: GroupStep, _ replaced: inout [GroupStep]) {
    if let place = places[step.group] {
      replaced.append(steps[place])
      steps[place] = step
    } else {
      places[step.group] = steps.count
      steps.append(step)
    }
  }

  mutating func take() -> [GroupStep] {
    defer { steps = [] }
    return steps
  }

  mutating func takeRetired() -> [[GroupStep]] {
    defer { retired = [] }
    return retired
  }
}
