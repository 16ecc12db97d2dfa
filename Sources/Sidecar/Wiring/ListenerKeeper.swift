import Failover
import LebaConfiguration
import Logging
import Model
import Proxy
import Synchronization

/// Opens and closes listeners while we run: those that the file declares, or where it leaves them to us, those of the groups that
/// come and go.
///
/// A group that is being dissolved keeps its listener until it is gone, unless somebody else needs the address: the group that
/// its names moved to often listens on the same port.
final class ListenerKeeper: Sendable {
  private let configuration: Mutex<Configuration>
  private let proxy: Proxy
  private let logger: Logger
  /// Told of the addresses that no backend may have.
  private let onChange: @Sendable ([SocketAddress]) -> Void
  private let listeners: Mutex<[ListenerSpecification]>
  /// Why groups have no listener, as far as it was said.
  private let obstacles = Mutex<[GroupName: String]>([:])

  /// - Parameter listeners: those that are open already.
  init(
    _ configuration: Configuration, open listeners: [ListenerSpecification], proxy: Proxy, logger: Logger,
    onChange: @escaping @Sendable ([SocketAddress]) -> Void
  ) {
    self.configuration = Mutex(configuration)
    self.proxy = proxy
    self.logger = logger
    self.onChange = onChange
    self.listeners = Mutex(listeners)
  }

  var open: [ListenerSpecification] { listeners.withLock { $0 } }

  /// The file says something else now; `follow` comes next.
  func adopt(_ configuration: Configuration) { self.configuration.withLock { $0 = configuration } }

  /// Called on the control thread only, in the order in which groups change.
  func follow(_ groups: [Group], ports: [DomainName: UInt16]) {
    let configuration = configuration.withLock { $0 }
    let current = open
    let dissolving = Set(groups.filter(\.isDissolving).map(\.name))
    let described = groups.filter { !$0.isDissolving }.map(\.specification)
    let defaults = configuration.defaultListeners(for: described, ports: ports, keeping: current)
    let wanted = configuration.declaresListeners ? configuration.listeners : defaults.listeners
    let addresses = Set(wanted.map(\.address))
    let kept = current.filter {
      wanted.contains($0)
        || (!configuration.declaresListeners && dissolving.contains($0.group) && !addresses.contains($0.address))
    }
    for listener in current where !kept.contains(listener) {
      proxy.close(listener.name)
      logger.notice("\(listener.address) for \(listener.group) is closed")
    }
    var next = kept
    var problems = defaults.obstacles
    for listener in wanted where !kept.contains(listener) {
      do {
        try proxy.open(listener)
        next.append(listener)
        logger.notice("listening on \(listener.address) for \(listener.group) (\(listener.role.rawValue))")
      } catch {
        problems[listener.group] = "\(error)"
      }
    }
    listeners.withLock { $0 = next }
    if next != current { onChange(next.map(\.address) + [configuration.apiAddress]) }
    // The group is wanted even where the address is not to be had: it is watched, and a line says why nothing connects to it.
    let known = obstacles.withLock { known in
      defer { known = problems }
      return known
    }
    for (group, problem) in problems.sorted(by: { $0.key < $1.key }) where known[group] != problem {
      logger.warning("the group \(group) gets no listener: \(problem)")
    }
  }
}
