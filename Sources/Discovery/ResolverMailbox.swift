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
    var refreshed: Set<DomainName> = []
    var mustStop = false
  }

  private struct State: Sendable {
    var orders = Orders()
    var watched: Set<DomainName> = []
    var statuses: [DomainName: DomainStatus] = [:]
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

  func watch(_ domains: [DomainSpecification]) {
    let byName = Dictionary(domains.map { ($0.domain, $0) }) { first, second in
      var merged = first
      merged.ports.formUnion(second.ports)
      return merged
    }
    order {
      $0.orders.domains = byName
      $0.watched = Set(byName.keys)
    }
  }

  func refresh(_ domain: DomainName?) {
    order { state in
      guard let domain else {
        state.orders.refreshed = state.watched
        return
      }
      if state.watched.contains(domain) { state.orders.refreshed.insert(domain) }
    }
  }

  func stop() { order { $0.orders.mustStop = true } }

  func statuses() -> [DomainStatus] {
    state.withLock { Array($0.statuses.values) }.sorted { $0.domain < $1.domain }
  }

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

  func withdraw(_ domain: DomainName) { state.withLock { $0.statuses[domain] = nil } }
}
