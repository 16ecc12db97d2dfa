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

  private let epoll: Int32
  private var listeners: [Listener] = []
  private var turns = ListenerTurns()

  init(epoll: Int32) { self.epoll = epoll }

  var areReady: Bool { !turns.isEmpty }

  mutating func beginPass() { turns.beginPass() }

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
    turns.remove(token.listenerNumber)
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
    turns.remove(token.listenerNumber)
  }

  mutating func becameReady(_ token: Token) {
    let listener = listeners[Int(token.listenerNumber)]
    guard listener.descriptor >= 0, listener.generation == token.generation, !listener.isPaused else { return }
    turns.add(token.listenerNumber)
  }

  mutating func next() -> Completion? { areReady ? accept() : nil }

  /// Apart from `next`: otherwise every pass asks whether the list of listeners is uniquely referenced, a call of the runtime.
  @inline(never) private mutating func accept() -> Completion? {
    while let number = turns.current {
      let index = Int(number)
      let token = Token(listener: number, generation: listeners[index].generation)
      let isClosing = listeners[index].acceptsBeforeClose != nil
      if let left = listeners[index].acceptsBeforeClose {
        guard left > 0 else { return end(token) }
        listeners[index].acceptsBeforeClose = left - 1
      }
      let result = leba_accept(listeners[index].descriptor)
      turns.countAccept()
      switch -result {
      case ...0:
        return .accepted(token, descriptor: result)
      case EAGAIN:
        if isClosing { return end(token) }
        turns.remove(number)
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
}
