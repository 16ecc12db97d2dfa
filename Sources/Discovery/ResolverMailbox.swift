import CLinux
import Glibc
import Model
import Synchronization

/// What other threads have in common with the resolver thread: orders for it, and its last report on each name.
///
/// Orders are merged as they come, so that their memory is bounded by the number of names, however many are given.
final class ResolverMailbox: Sendable {
  struct Orders: Sendable {
    var domains: [DomainName: DomainSpecification]?
    /// For names that are new with `domains`.
    var remembered: [DomainName: RememberedAnswer] = [:]
    var ownListeners: [SocketAddress]?
    var refreshed: Set<DomainName> = []
    var mustStop = false
  }

  private struct State: Sendable {
    var orders = Orders()
    var watched: Set<DomainName> = []
    var statuses: [DomainName: DomainStatus] = [:]
    var servers: [ServerStatus] = []
    var isSignalled = false
  }

  /// An eventfd, readable while orders wait.
  let descriptor: Int32
  private let state = Mutex(State())

  init() throws(DiscoveryError) {
    descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard descriptor >= 0 else { throw DiscoveryError("eventfd", errno) }
  }

  deinit { close(descriptor) }

  // MARK: Any thread

  func watch(_ domains: [DomainSpecification], remembered: [DomainName: RememberedAnswer]) {
    let byName = Dictionary(domains.map { ($0.domain, $0) }) { first, second in
      var merged = first
      merged.ports.formUnion(second.ports)
      return merged
    }
    order {
      $0.orders.domains = byName
      $0.orders.remembered.merge(remembered.filter { byName[$0.key] != nil }) { _, new in new }
      $0.watched = Set(byName.keys)
    }
  }

  func setOwnListeners(_ listeners: [SocketAddress]) { order { $0.orders.ownListeners = listeners } }

  /// - Returns: the names that will be looked up.
  @discardableResult
  func refresh(_ domain: DomainName?) -> Set<DomainName> {
    var wanted: Set<DomainName> = []
    order { state in
      wanted = domain.map { state.watched.intersection([$0]) } ?? state.watched
      state.orders.refreshed.formUnion(wanted)
    }
    return wanted
  }

  func stop() { order { $0.orders.mustStop = true } }

  func statuses() -> [DomainStatus] {
    state.withLock { Array($0.statuses.values) }.sorted { $0.domain < $1.domain }
  }

  var servers: [ServerStatus] { state.withLock { $0.servers } }

  private func order(_ change: (inout State) -> Void) {
    state.withLock { state in
      change(&state)
      // Within the lock: the eventfd is readable exactly when `isSignalled` says so. A write that came after the thread had
      // taken the order would keep it awake for good.
      if !state.isSignalled { eventfd_write(descriptor, 1) }
      state.isSignalled = true
    }
  }

  // MARK: The resolver thread

  func take() -> Orders {
    state.withLock { state in
      if state.isSignalled {
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
        state.isSignalled = false
      }
      defer { state.orders = Orders() }
      return state.orders
    }
  }

  func publish(_ status: DomainStatus) { state.withLock { $0.statuses[status.domain] = status } }

  func publish(_ servers: [ServerStatus]) { state.withLock { $0.servers = servers } }

  func withdraw(_ domain: DomainName) { state.withLock { $0.statuses[domain] = nil } }
}
