import Logging
import Model
import Proxy
import Synchronization

/// Listening sockets that somebody else opened: the service manager, or the process that this one takes over from. Each is taken by the
/// listener that wants it, by its name first, then by its address; what nobody wants is closed.
final class Inheritance: Sendable {
  private let left: Mutex<[InheritedListener]>

  init(_ listeners: [InheritedListener]) { left = Mutex(listeners) }

  deinit { closeRest() }

  /// The caller owns the sockets; none when there is nothing to inherit.
  func take(_ name: String, _ address: SocketAddress) -> [ListeningSocket] {
    left.withLock { left in
      let isNamed = left.contains { $0.name == name }
      let wanted = left.filter { isNamed ? $0.name == name : $0.address == address }
      left.removeAll { isNamed ? $0.name == name : $0.address == address }
      return wanted.flatMap(\.sockets)
    }
  }

  @discardableResult
  func closeRest() -> [InheritedListener] {
    let rest = left.withLock { left in
      defer { left = [] }
      return left
    }
    for listener in rest { listener.close() }
    return rest
  }
}
