import CLinux
import Glibc
import Model
import Synchronization
import Threads

/// What other threads have in common with the resolver thread: orders for it, and questions to it.
///
/// Orders are merged as they come, so that their memory is bounded by the number of names, however many are given. Nothing is
/// published on the way: who wants to know asks, and the thread answers between two turns, when all it has done has been told.
final class ResolverMailbox: Sendable {
  struct Orders: Sendable {
    var domains: [DomainName: DomainSpecification]?
    /// For names that are new with `domains`.
    var remembered: [DomainName: RememberedAnswer] = [:]
    var ownListeners: [SocketAddress]?
    var refreshed: Set<DomainName> = []
    var inquiries: [Reply<[DomainStatus]>] = []
    var mustStop = false
  }

  private struct State: Sendable {
    var orders = Orders()
    var watched: Set<DomainName> = []
    var servers: [ServerStatus] = []
    /// Whether there is a thread to answer.
    var isServed = false
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

  /// Waits for the thread's answer, milliseconds at most; empty when there is no thread. Not from a callback of the thread.
  func statuses() -> [DomainStatus] {
    let reply = Reply<[DomainStatus]>()
    var isServed = false
    order { state in
      isServed = state.isServed
      if isServed { state.orders.inquiries.append(reply) }
    }
    return isServed ? reply.wait().sorted { $0.domain < $1.domain } : []
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

  /// From now on there is a thread that takes orders.
  func begin() { state.withLock { $0.isServed = true } }

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

  func publish(_ servers: [ServerStatus]) { state.withLock { $0.servers = servers } }

  /// There is no thread any more: whoever waits for it, waits no longer.
  func end() {
    let waiting = state.withLock { state in
      state.isServed = false
      defer { state.orders.inquiries = [] }
      return state.orders.inquiries
    }
    for reply in waiting { reply.fulfil([]) }
  }
}
