import Discovery
import Model
import Synchronization

/// The resolver in use. Its settings are fixed for its life: other settings are another resolver, which begins with all that the one
/// before it knew, so that no name is ever without its endpoints.
final class CurrentDiscovery: Sendable {
  typealias Maker = @Sendable (ResolverSettings, _ ownListeners: [SocketAddress]) throws(DiscoveryError) -> Discovery

  private struct State {
    var discovery: Discovery
    var ownListeners: [SocketAddress]
    var domains: [DomainSpecification] = []
  }

  private let make: Maker
  private let state: Mutex<State>

  init(_ settings: ResolverSettings, ownListeners: [SocketAddress], make: @escaping Maker) throws(DiscoveryError) {
    self.make = make
    state = Mutex(State(discovery: try make(settings, ownListeners), ownListeners: ownListeners))
  }

  var value: Discovery { state.withLock { $0.discovery } }

  func watch(_ domains: [DomainSpecification], remembered: [DomainName: RememberedAnswer] = [:]) {
    state.withLock { state in
      state.domains = domains
      state.discovery.watch(domains, remembered: remembered)
    }
  }

  func setOwnListeners(_ addresses: [SocketAddress]) {
    state.withLock { state in
      state.ownListeners = addresses
      state.discovery.setOwnListeners(addresses)
    }
  }

  func replace(with settings: ResolverSettings, now: Instant) throws(DiscoveryError) {
    let old = value
    let known = Dictionary(
      uniqueKeysWithValues: old.status().compactMap { status -> (DomainName, RememberedAnswer)? in
        guard let answered = status.lastAnswered, !status.records.isEmpty else { return nil }
        return (
          status.domain,
          RememberedAnswer(endpoints: status.records.map(\.endpoint), attributes: status.attributes, age: now - answered)
        )
      })
    try state.withLock { state throws(DiscoveryError) in
      let next = try make(settings, state.ownListeners)
      try next.start()
      next.watch(state.domains, remembered: known)
      state.discovery = next
    }
    old.stop()
  }
}
