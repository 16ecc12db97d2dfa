import CLinux
import Glibc
import Model

/// The epoll instance of the resolver thread, level-triggered: c-ares reads one step of a TCP answer per call.
final class Poller {
  /// What a descriptor belongs to. The number in the event outlives the descriptor, so that an event for one that was closed
  /// and opened anew in the same batch finds its old owner gone.
  struct Token: Hashable {
    static let wakeUp = Token(owner: 0, descriptor: -1)
    static let fileWatch = Token(owner: 0, descriptor: -2)

    let owner: UInt32
    let descriptor: Int32
  }

  struct Event {
    let token: Token
    let isReadable: Bool
    let isWritable: Bool
  }

  private let epoll: Int32
  private var buffer = [epoll_event](repeating: epoll_event(), count: 64)

  init() throws(DiscoveryError) {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else { throw DiscoveryError("epoll_create1", errno) }
  }

  deinit { close(epoll) }

  /// Watches a descriptor until it is closed.
  ///
  /// A failure has no consequence but silence on this descriptor, and silence ends at the lookup's deadline.
  func add(_ descriptor: Int32, _ token: Token, readable: Bool = true, writable: Bool = false) {
    control(EPOLL_CTL_ADD, descriptor, token, readable: readable, writable: writable)
  }

  func change(_ descriptor: Int32, _ token: Token, readable: Bool, writable: Bool) {
    control(EPOLL_CTL_MOD, descriptor, token, readable: readable, writable: writable)
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ token: Token, readable: Bool, writable: Bool) {
    var event = epoll_event()
    event.events = (readable ? EPOLLIN.rawValue : 0) | (writable ? EPOLLOUT.rawValue : 0)
    event.data.u64 = UInt64(token.owner) << 32 | UInt64(UInt32(bitPattern: token.descriptor))
    epoll_ctl(epoll, operation, descriptor, &event)
  }

  /// Waits until something is ready or `timeout` is over; nil waits without end.
  func wait(_ timeout: Duration?) -> [Event] {
    // Rounded up: a wait that ends a moment too early would be repeated until the moment is over.
    let milliseconds = timeout.map { Int32(clamping: ($0 > .zero ? ($0.nanoseconds - 1) / 1_000_000 + 1 : 0)) }
    let count = epoll_wait(epoll, &buffer, Int32(buffer.count), milliseconds ?? -1)
    guard count > 0 else { return [] }
    return buffer[..<Int(count)].map { event in
      let token = Token(
        owner: UInt32(truncatingIfNeeded: event.data.u64 >> 32),
        descriptor: Int32(truncatingIfNeeded: event.data.u64))
      // An error or hang-up is learned by reading and writing.
      let failed = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
      return Event(
        token: token,
        isReadable: failed || event.events & EPOLLIN.rawValue != 0,
        isWritable: failed || event.events & EPOLLOUT.rawValue != 0)
    }
  }
}

/// Why discovery cannot start: the host has no descriptor left for it.
package struct DiscoveryError: Error, Hashable, Sendable, CustomStringConvertible {
  package let call: String
  package let code: Int32

  init(_ call: String, _ code: Int32) {
    self.call = call
    self.code = code
  }

  package var description: String { "\(call): \(String(cString: strerror(code)))" }
}
