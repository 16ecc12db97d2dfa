import CLinux
import Glibc

/// The listeners of an epoll engine: edge-triggered like its sockets, so each is accepted from until EAGAIN, over several passes if
/// need be.
struct EpollListeners {
  private struct Listener {
    var descriptor: Int32 = -1
    var generation: UInt32 = 0
    var isPaused = false
    /// Set while it closes: how many more connections it takes from its backlog.
    var acceptsBeforeClose: Int?
  }

  /// New connections per pass: enough to empty a burst quickly, few enough that running sessions do not wait for it.
  private static let acceptsPerPass = 64

  private let epoll: Int32
  private var listeners: [Listener] = []
  private var ready: [Int32] = []
  private var acceptsLeft = 0

  init(epoll: Int32) { self.epoll = epoll }

  var areReady: Bool { !ready.isEmpty }

  mutating func beginPass() { acceptsLeft = Self.acceptsPerPass }

  mutating func open(_ descriptor: Int32, as token: Token) throws(EngineError) {
    let index = Int(token.listenerNumber)
    while listeners.count <= index { listeners.append(Listener()) }
    listeners[index] = Listener(descriptor: descriptor, generation: token.generation)
    let status = leba_epoll_add(epoll, descriptor, LEBA_EPOLL_IN | LEBA_EPOLL_EDGE, token.packed)
    guard status == 0 else { throw EngineError(operation: "epoll_ctl", errno: -status) }
  }

  mutating func pause(_ token: Token) {
    let index = Int(token.listenerNumber)
    // One that is closing has no later: its next turn ends it.
    guard listeners[index].acceptsBeforeClose == nil else { return listeners[index].acceptsBeforeClose = 0 }
    listeners[index].isPaused = true
    ready.removeAll { $0 == token.listenerNumber }
  }

  mutating func resume(_ token: Token) {
    let index = Int(token.listenerNumber)
    guard listeners[index].isPaused else { return }
    listeners[index].isPaused = false
    // Connections may have come meanwhile whose edge was ignored.
    becameReady(token)
  }

  mutating func finish(_ token: Token) {
    let index = Int(token.listenerNumber)
    // Bounded, or a flood of new connections would keep the listener open.
    listeners[index].acceptsBeforeClose = Int(SOMAXCONN)
    listeners[index].isPaused = false
    becameReady(token)
  }

  mutating func close(_ token: Token) {
    let index = Int(token.listenerNumber)
    guard listeners[index].descriptor >= 0 else { return }
    // A copy, here or in another process, keeps the socket, and with it a registration that nobody could remove any more.
    leba_epoll_remove(epoll, listeners[index].descriptor)
    Glibc.close(listeners[index].descriptor)
    listeners[index].descriptor = -1
    ready.removeAll { $0 == token.listenerNumber }
  }

  mutating func becameReady(_ token: Token) {
    let listener = listeners[Int(token.listenerNumber)]
    guard listener.descriptor >= 0, listener.generation == token.generation, !listener.isPaused,
      !ready.contains(token.listenerNumber)
    else { return }
    ready.append(token.listenerNumber)
  }

  mutating func next() -> Completion? { areReady ? accept() : nil }

  /// Apart from `next`: otherwise every pass asks whether the list of ready listeners is uniquely referenced, a call of the runtime.
  @inline(never) private mutating func accept() -> Completion? {
    while acceptsLeft > 0, let number = ready.first {
      let index = Int(number)
      let token = Token(listener: number, generation: listeners[index].generation)
      let isClosing = listeners[index].acceptsBeforeClose != nil
      if let left = listeners[index].acceptsBeforeClose {
        guard left > 0 else { return end(token) }
        listeners[index].acceptsBeforeClose = left - 1
      }
      let result = leba_accept(listeners[index].descriptor)
      acceptsLeft -= 1
      if acceptsLeft == 0 { rotate() }
      switch -result {
      case ...0:
        return .accepted(token, descriptor: result)
      case EAGAIN:
        if isClosing { return end(token) }
        ready.removeAll { $0 == number }
      case EMFILE, ENFILE, ENOBUFS, ENOMEM:
        if isClosing { return end(token) }
        pause(token)
        return .acceptFailed(token, errno: -result)
      default:
        // ECONNABORTED and the pending network errors that accept(2) lists concern one connection that is gone already.
        break
      }
    }
    return nil
  }

  private mutating func end(_ token: Token) -> Completion {
    close(token)
    return .acceptingEnded(token)
  }

  /// The next pass begins with another listener, so that one flooded port does not starve the rest.
  private mutating func rotate() {
    if ready.count > 1 { ready.append(ready.removeFirst()) }
  }
}
