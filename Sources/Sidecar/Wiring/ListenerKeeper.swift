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
  private let inheritance: Inheritance
  private let isFrozen = Mutex(false)
  private let logger: Logger
  /// Told of the addresses that no backend may have.
  private let onChange: @Sendable ([SocketAddress]) -> Void
  private let listeners: Mutex<[ListenerSpecification]>
  /// Why groups have no listener, as far as it was said.
  private let obstacles = Mutex<[GroupName: String]>([:])

  /// - Parameter listeners: those that are open already.
  init(
    _ configuration: Configuration, open listeners: [ListenerSpecification], proxy: Proxy, inheritance: Inheritance, logger: Logger,
    onChange: @escaping @Sendable ([SocketAddress]) -> Void
  ) {
    self.configuration = Mutex(configuration)
    self.proxy = proxy
    self.inheritance = inheritance
    self.logger = logger
    self.onChange = onChange
    self.listeners = Mutex(listeners)
  }

  var open: [ListenerSpecification] { listeners.withLock { $0 } }

  /// The file says something else now; `follow` comes next.
  func adopt(_ configuration: Configuration) { self.configuration.withLock { $0 = configuration } }

  /// While another process takes the sockets over, they are the same at its end as at its beginning. Whoever ends that has `follow` called.
  func freeze(_ isFrozen: Bool) { self.isFrozen.withLock { $0 = isFrozen } }

  /// Called on the control thread only, in the order in which groups change.
  func follow(_ groups: [Group], ports: [DomainName: UInt16]) {
    if isFrozen.withLock({ $0 }) { return }
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
    var next = kept
    var problems = defaults.obstacles
    let leaving = current.filter { !kept.contains($0) }
    close(leaving.filter { !addresses.contains($0.address) })
    // Another group or role at the same address: the socket stays, with those who wait in it.
    let changing = leaving.filter { addresses.contains($0.address) }
    for (old, new) in replacements(changing, by: wanted, besides: kept) {
      do {
        try proxy.replace(old.name, with: new)
        next.append(new)
        logger.notice("\(new.address) leads to \(new.group) (\(new.role.rawValue)) now")
      } catch {
        logger.warning("\(error); it is opened anew")
        proxy.close(old.name)
      }
    }
    close(changing.filter { listener in !next.contains { $0.address == listener.address } })
    for listener in wanted where !next.contains(listener) {
      do {
        try proxy.open(listener, inherited: inheritance.take(listener.name.rawValue, listener.address))
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

  private func close(_ listeners: [ListenerSpecification]) {
    proxy.close(listeners.map(\.name))
    for listener in listeners { logger.notice("\(listener.address) for \(listener.group) is closed") }
  }

  /// In an order in which no name is taken before whoever has it gave it up; listeners that exchange their names are opened anew.
  private func replacements(
    _ changing: [ListenerSpecification], by wanted: [ListenerSpecification], besides kept: [ListenerSpecification]
  ) -> [(old: ListenerSpecification, new: ListenerSpecification)] {
    var pairs = changing.compactMap { old in wanted.first { $0.address == old.address }.map { (old: old, new: $0) } }
    var names = Set((changing + kept).map(\.name))
    var ordered: [(old: ListenerSpecification, new: ListenerSpecification)] = []
    while let position = pairs.firstIndex(where: { $0.new.name == $0.old.name || !names.contains($0.new.name) }) {
      let pair = pairs.remove(at: position)
      names.remove(pair.old.name)
      names.insert(pair.new.name)
      ordered.append(pair)
    }
    return ordered
  }
}
