import CLinux
import Glibc

/// The listeners of an io_uring engine: one multishot accept each. The kernel accepts faster than sessions are made of it, so what it
/// accepted waits here, and a paused listener's waits until it is resumed.
struct UringListeners {
  private struct Listener {
    var descriptor: Int32 = -1
    var generation: UInt32 = 0
    var isPaused = false
    /// The kernel is accepting, or has not said yet that it stopped.
    var isAccepting = false
    /// Accepted and not told of; those before `first` have been.
    var waiting: [Int32] = []
    var first = 0
    /// Why the kernel stopped, if it was not asked to.
    var failure: Int32 = 0
    /// Set while it closes: how many more connections it takes from its backlog.
    var acceptsBeforeClose: Int?

    var hasNews: Bool { first < waiting.count || failure != 0 || acceptsBeforeClose != nil && !isAccepting }
  }

  private let ring: UnsafeMutablePointer<leba_ring>
  private var listeners: [Listener] = []
  private var turns = ListenerTurns()
  /// Those that are to accept and may not do so yet.
  private var unarmed: [Int32] = []

  init(ring: UnsafeMutablePointer<leba_ring>) { self.ring = ring }

  var areReady: Bool { !turns.isEmpty }

  mutating func beginPass() { turns.beginPass() }

  mutating func open(_ descriptor: Int32, as token: Token) {
    let index = Int(token.listenerNumber)
    while listeners.count <= index { listeners.append(Listener()) }
    listeners[index] = Listener(descriptor: descriptor, generation: token.generation)
    accept(token.listenerNumber)
  }

  mutating func pause(_ token: Token) {
    let number = token.listenerNumber
    // One that is closing has no later: its next turn ends it.
    guard listeners[Int(number)].acceptsBeforeClose == nil else { return listeners[Int(number)].acceptsBeforeClose = 0 }
    listeners[Int(number)].isPaused = true
    turns.remove(number)
    stopAccepting(number)
  }

  mutating func resume(_ token: Token) {
    let number = token.listenerNumber
    guard listeners[Int(number)].isPaused else { return }
    listeners[Int(number)].isPaused = false
    listeners[Int(number)].failure = 0
    accept(number)
    becomeReady(number)
  }

  mutating func finish(_ token: Token) {
    let number = token.listenerNumber
    // Bounded, or a flood of new connections would keep the listener open.
    listeners[Int(number)].acceptsBeforeClose = Int(SOMAXCONN)
    listeners[Int(number)].isPaused = false
    stopAccepting(number)
    becomeReady(number)
  }

  mutating func close(_ token: Token) {
    let number = token.listenerNumber
    guard listeners[Int(number)].descriptor >= 0 else { return }
    // An accept that runs keeps the port.
    if listeners[Int(number)].isAccepting { _ = leba_ring_cancel_now(ring, listeners[Int(number)].descriptor) }
    Glibc.close(listeners[Int(number)].descriptor)
    for descriptor in listeners[Int(number)].waiting[listeners[Int(number)].first...] { Glibc.close(descriptor) }
    listeners[Int(number)] = Listener(generation: listeners[Int(number)].generation)
    turns.remove(number)
  }

  /// A completion of an accept: a descriptor, or an error.
  mutating func completed(_ tag: UringTag, _ result: Int32, hasMore: Bool) {
    let number = Int32(bitPattern: tag.slot)
    guard Int(number) < listeners.count, listeners[Int(number)].descriptor >= 0,
      tag.isOf(generation: listeners[Int(number)].generation)
    else {
      if result >= 0 { Glibc.close(result) }
      return
    }
    if result >= 0 { listeners[Int(number)].waiting.append(result) }
    if !hasMore {
      listeners[Int(number)].isAccepting = false
      switch -result {
      case EMFILE, ENFILE, ENOBUFS, ENOMEM: listeners[Int(number)].failure = -result
      // A unix listener that was shut down: it is about to be finished.
      case EINVAL: break
      // Cancelled, cut short, or one connection was gone already (accept(2) lists what it may say of that).
      default: accept(number)
      }
    }
    becomeReady(number)
  }

  mutating func next() -> Completion? {
    while let number = turns.current {
      let index = Int(number)
      let token = Token(listener: number, generation: listeners[index].generation)
      if listeners[index].acceptsBeforeClose == 0 { return end(token) }
      if listeners[index].first < listeners[index].waiting.count {
        turns.countAccept()
        return .accepted(token, descriptor: takeWaiting(index))
      }
      if listeners[index].acceptsBeforeClose != nil, !listeners[index].isAccepting { return lastAccept(token) }
      if listeners[index].acceptsBeforeClose == nil, listeners[index].failure != 0 {
        pause(token)
        return .acceptFailed(token, errno: listeners[index].failure)
      }
      turns.remove(number)
    }
    return nil
  }

  // MARK: Steps

  /// What came into the backlog since the kernel stopped accepting.
  private mutating func lastAccept(_ token: Token) -> Completion {
    let index = Int(token.listenerNumber)
    let descriptor = leba_accept(listeners[index].descriptor)
    guard descriptor >= 0 else { return end(token) }
    listeners[index].acceptsBeforeClose = listeners[index].acceptsBeforeClose.map { $0 - 1 }
    turns.countAccept()
    return .accepted(token, descriptor: descriptor)
  }

  private mutating func takeWaiting(_ index: Int) -> Int32 {
    let descriptor = listeners[index].waiting[listeners[index].first]
    listeners[index].first += 1
    if listeners[index].first == listeners[index].waiting.count {
      listeners[index].waiting.removeAll(keepingCapacity: true)
      listeners[index].first = 0
    }
    return descriptor
  }

  private mutating func becomeReady(_ number: Int32) {
    let listener = listeners[Int(number)]
    guard listener.descriptor >= 0, !listener.isPaused, listener.hasNews else { return }
    turns.add(number)
  }

  private mutating func accept(_ number: Int32) {
    if !unarmed.contains(number) { unarmed.append(number) }
  }

  /// Gives accepts to the kernel at the end of a pass and not when they are wanted: whoever opens a listener and pauses it in the same pass
  /// must not have accepted in between.
  mutating func arm() {
    guard !unarmed.isEmpty else { return }
    for number in unarmed {
      let listener = listeners[Int(number)]
      guard listener.descriptor >= 0, !listener.isAccepting, !listener.isPaused, listener.acceptsBeforeClose == nil else {
        continue
      }
      listeners[Int(number)].isAccepting = true
      leba_ring_make_room(ring, 1)
      leba_ring_accept(ring, listener.descriptor, tag(number).packed)
    }
    unarmed.removeAll(keepingCapacity: true)
  }

  private mutating func stopAccepting(_ number: Int32) {
    guard listeners[Int(number)].isAccepting else { return }
    leba_ring_make_room(ring, 1)
    leba_ring_cancel(ring, tag(number).packed, UringTag(.done, slot: 0, generation: 0).packed)
  }

  private func tag(_ number: Int32) -> UringTag {
    UringTag(.accept, slot: UInt32(bitPattern: number), generation: listeners[Int(number)].generation)
  }

  private mutating func end(_ token: Token) -> Completion {
    close(token)
    return .acceptingEnded(token)
  }
}
