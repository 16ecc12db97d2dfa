import CLinux
import Glibc
import Model

/// The engine over edge-triggered epoll.
///
/// A socket is registered once, for everything, and never again touched by `epoll_ctl`. What its events said is remembered as
/// readiness, an operation is tried as soon as it is asked for and believed possible, and only a short read, a short write or
/// EAGAIN takes the belief back. So a relayed request costs a receive and a send each way, and a share of one `epoll_wait`.
///
/// Operations run when their socket's turn comes in `next`, not when they are asked for: completions need no queue of their
/// own, and no operation completes inside the call that asks for it. A send takes its turn before everything else, while its bytes
/// are in the cache.
struct EpollEngine: Engine, ~Copyable {
  static var name: String { "epoll" }

  private static let wakeToken = Token(slot: .max, generation: 0)
  private static let eventsPerWait = 512
  /// Turns of a pass, even if fewer sockets were ready when it began: what follows from a turn at once (the end behind the last bytes, a
  /// connect that was asked for) needs no `epoll_wait` of its own.
  private static let leastTurns = 16
  private static let trimInterval = Duration.seconds(1)

  private let epoll: Int32
  private let wake: Int32
  private let events: UnsafeMutableRawPointer
  private let sockets: UnsafeMutablePointer<EpollSocket>
  private let capacity: Int
  private var listeners: EpollListeners
  private var pool: BufferPool
  private var pipes: PipePool

  private var ready = SocketQueue<EpollSocket>(link: .first)
  private var urgent = SocketQueue<EpollSocket>(link: .second)
  private var starved = SocketQueue<EpollSocket>(link: .first)
  private var turnsLeft = 0
  private var trimmedAt = Instant.zero
  private var wakeWasSignalled = false

  init(sockets count: Int, buffers: Int, pipes: Int, wake: Int32) throws(EngineError) {
    let pool = try BufferPool(capacity: buffers)
    let descriptor = leba_epoll_create()
    guard descriptor >= 0 else { throw EngineError(operation: "epoll_create1", errno: -descriptor) }
    let size = count * MemoryLayout<EpollSocket>.stride
    let status = leba_epoll_add(descriptor, wake, LEBA_EPOLL_IN | LEBA_EPOLL_EDGE, Self.wakeToken.packed)
    guard status == 0, let memory = leba_reserve(size) else {
      Glibc.close(descriptor)
      throw EngineError(operation: "setting up epoll", errno: status < 0 ? -status : ENOMEM)
    }
    self.pool = pool
    self.pipes = PipePool(capacity: pipes)
    epoll = descriptor
    self.wake = wake
    listeners = EpollListeners(epoll: descriptor)
    // Zeroed pages are valid entries: closed, nothing asked for, in no queue.
    sockets = memory.bindMemory(to: EpollSocket.self, capacity: count)
    capacity = count
    events = .allocate(byteCount: Self.eventsPerWait * leba_epoll_event_size(), alignment: 16)
  }

  deinit {
    Glibc.close(epoll)
    events.deallocate()
    leba_unreserve(sockets, capacity * MemoryLayout<EpollSocket>.stride)
  }

  // MARK: Listeners

  mutating func listen(_ descriptor: Int32, as token: Token) throws(EngineError) { try listeners.open(descriptor, as: token) }
  mutating func pauseAccepting(_ token: Token) { listeners.pause(token) }
  mutating func resumeAccepting(_ token: Token) { listeners.resume(token) }
  mutating func finishAccepting(_ token: Token) { listeners.finish(token) }
  mutating func closeListener(_ token: Token) { listeners.close(token) }

  // MARK: Sockets

  mutating func adopt(_ descriptor: Int32, as token: Token) -> Bool {
    open(descriptor, as: token, readiness: .writable)
    let status = register(descriptor, token)
    if status < 0 { close(token, reset: false) }
    return status == 0
  }

  mutating func connect(_ descriptor: Int32, as token: Token, to address: KernelAddress) {
    open(descriptor, as: token, readiness: [])
    let socket = self[token]
    socket.pointee.asked = .connect
    var status = address.withSockaddr { leba_connect(descriptor, $0, address.length) }
    // A unix socket connects at once or not at all.
    if status == 0 { socket.pointee.readiness = .writable }
    if status == 0 || status == -EINPROGRESS { status = register(descriptor, token) }
    if status < 0 { socket.pointee.connectError = -status }
    enqueueIfTurnIsDue(token.slot)
  }

  mutating func peek(_ token: Token) { ask(.peek, token) }
  mutating func receive(_ token: Token) { ask(.receive, token) }
  mutating func receiveIntoPipe(_ token: Token) { ask([.receive, .intoPipe], token) }

  mutating func cancelReceive(_ token: Token) {
    let socket = self[token]
    socket.pointee.asked.subtract(.anyReading)
    enqueueIfTurnIsDue(token.slot)
  }

  mutating func send(_ token: Token, _ bytes: UnsafeRawPointer, count: Int) {
    let socket = self[token]
    socket.pointee.sendBytes = bytes
    socket.pointee.sendCount = UInt32(truncatingIfNeeded: count)
    askToSend(.send, token)
  }

  mutating func send(_ token: Token, pipe: Buffer) {
    self[token].pointee.sendPipe = pipe
    askToSend([.send, .fromPipe], token)
  }

  private mutating func askToSend(_ operation: SocketOperations, _ token: Token) {
    let socket = self[token]
    assert(!socket.pointee.asked.contains(.send), "a send is outstanding already")
    socket.pointee.asked.formUnion(operation)
    if socket.pointee.readiness.contains(.writable), !socket.pointee.isUrgent {
      socket.pointee.isUrgent = true
      urgent.append(token.slot, in: sockets)
    }
  }

  mutating func shutdownSending(_ token: Token) { _ = Glibc.shutdown(self[token].pointee.descriptor, Int32(SHUT_WR)) }

  /// The entry keeps its places in the queues: its turn finds nothing asked for, or the next socket of the slot.
  mutating func close(_ token: Token, reset: Bool) {
    let socket = self[token]
    if reset { leba_close_with_reset(socket.pointee.descriptor) } else { _ = Glibc.close(socket.pointee.descriptor) }
    socket.pointee.isOpen = false
    socket.pointee.asked = []
    socket.pointee.readiness = []
  }

  private mutating func open(_ descriptor: Int32, as token: Token, readiness: EpollSocket.Readiness) {
    let socket = sockets + Int(token.slot)
    assert(!socket.pointee.isOpen, "the slot is taken")
    socket.pointee.descriptor = descriptor
    socket.pointee.generation = token.generation
    socket.pointee.isOpen = true
    socket.pointee.asked = []
    socket.pointee.readiness = readiness
    socket.pointee.connectError = 0
  }

  private func register(_ descriptor: Int32, _ token: Token) -> Int32 {
    leba_epoll_add(epoll, descriptor, LEBA_EPOLL_IN | LEBA_EPOLL_OUT | LEBA_EPOLL_RDHUP | LEBA_EPOLL_EDGE, token.packed)
  }

  private mutating func ask(_ operation: SocketOperations, _ token: Token) {
    let socket = self[token]
    assert(socket.pointee.asked.isDisjoint(with: .reading), "a receive is outstanding already")
    socket.pointee.asked.formUnion(operation)
    if socket.pointee.readiness.contains(.readable) { enqueue(token.slot) }
  }

  private subscript(token: Token) -> UnsafeMutablePointer<EpollSocket> {
    let socket = sockets + Int(token.slot)
    assert(socket.pointee.isOpen && socket.pointee.generation == token.generation, "an operation on a closed socket")
    return socket
  }

  // MARK: Buffers

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { pool.bytes(of: buffer) }
  mutating func recycle(_ buffer: Buffer) { if buffer.isPipe { pipes.give(buffer) } else { pool.give(buffer) } }

  // MARK: The loop

  mutating func wait(until deadline: Instant?, since now: Instant) -> Instant {
    feedStarved()
    let timeout = timeout(until: deadline, since: now)
    let count = leba_epoll_wait(epoll, events, Int32(Self.eventsPerWait), timeout)
    let now = Instant(nanoseconds: leba_monotonic_ns())
    // A negative count is EINTR: nothing happened.
    var index: Int32 = 0
    while index < count {
      let token = Token(packed: leba_epoll_data(events, index))
      let mask = leba_epoll_events(events, index)
      if !token.isListener {
        note(mask, token)
      } else if token == Self.wakeToken {
        leba_eventfd_clear(wake)
        wakeWasSignalled = true
      } else {
        listeners.becameReady(token)
      }
      index += 1
    }
    turnsLeft = max(ready.count, Self.leastTurns)
    listeners.beginPass()
    if isBloated, now - trimmedAt >= Self.trimInterval {
      pool.trim()
      pipes.trim()
      trimmedAt = now
    }
    return now
  }

  mutating func takeWake() -> Bool {
    defer { wakeWasSignalled = false }
    return wakeWasSignalled
  }

  mutating func next() -> Completion? {
    while true {
      let slot: UInt32
      if let first = urgent.pop(from: sockets) {
        slot = first
        sockets[Int(slot)].isUrgent = false
      } else if turnsLeft > 0, let first = ready.pop(from: sockets) {
        turnsLeft -= 1
        slot = first
        sockets[Int(slot)].isQueued = false
      } else {
        return listeners.next()
      }
      if let completion = takeTurn(slot) {
        enqueueIfTurnIsDue(slot)
        return completion
      }
    }
  }

  @inline(__always) private var isBloated: Bool { pool.isBloated || pipes.isBloated }

  @inline(__always) private func timeout(until deadline: Instant?, since now: Instant) -> Int32 {
    guard ready.count == 0, !listeners.areReady else { return 0 }
    var due = deadline
    if isBloated {
      let trim = trimmedAt + Self.trimInterval
      due = due.map { min($0, trim) } ?? trim
    }
    guard let due else { return -1 }
    // Rounded up: a timeout that is short by a fraction of a millisecond would spin through it.
    let milliseconds = ((due - now).nanoseconds &+ 999_999) / 1_000_000
    return Int32(clamping: max(0, milliseconds))
  }

  private mutating func note(_ mask: UInt32, _ token: Token) {
    let socket = sockets + Int(token.slot)
    guard socket.pointee.isOpen, socket.pointee.generation == token.generation else { return }
    var readiness = socket.pointee.readiness
    if mask & LEBA_EPOLL_IN != 0 { readiness.insert(.readable) }
    if mask & LEBA_EPOLL_OUT != 0 { readiness.insert(.writable) }
    if mask & LEBA_EPOLL_RDHUP != 0 && !readiness.contains(.peerEnded) {
      readiness.formUnion([.readable, .peerEnded, .endUnreported])
    }
    // HUP alone means that both directions were shut down: not an error, but every operation now has an answer.
    if mask & LEBA_EPOLL_HUP != 0 { readiness.formUnion([.readable, .writable]) }
    if mask & LEBA_EPOLL_ERR != 0 && !readiness.contains(.broken) {
      readiness.formUnion([.readable, .writable, .broken, .breakUnreported])
    }
    socket.pointee.readiness = readiness
    enqueueIfTurnIsDue(token.slot)
  }

  /// Nil when the turn came to nothing: the readiness was stale, or nobody wants anything of this socket.
  private mutating func takeTurn(_ slot: UInt32) -> Completion? {
    let socket = sockets + Int(slot)
    let asked = socket.pointee.asked
    guard socket.pointee.isOpen else { return nil }
    let token = Token(slot: slot, generation: socket.pointee.generation)
    if asked.contains(.send), socket.pointee.readiness.contains(.writable) {
      if let completion = trySend(socket, token) { return completion }
    }
    if asked.contains(.receive) {
      return socket.pointee.readiness.contains(.readable) ? tryReceive(socket, token) : nil
    }
    if asked.contains(.peek) { return socket.pointee.readiness.contains(.readable) ? tryPeek(socket, token) : nil }
    if asked.contains(.connect) { return tryConnect(socket, token) }
    return reportHangUp(socket, token)
  }

  private mutating func trySend(_ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    let (count, left) = sendNow(socket)
    if left > 0 { socket.pointee.readiness.remove(.writable) }
    if count == -Int(EAGAIN) { return nil }
    socket.pointee.asked.subtract([.send, .fromPipe])
    socket.pointee.sendBytes = nil
    if count >= 0 { return .sent(token, count: count) }
    socket.pointee.readiness.remove(.breakUnreported)
    return .sendFailed(token, errno: Int32(-count))
  }

  private mutating func sendNow(_ socket: UnsafeMutablePointer<EpollSocket>) -> (count: Int, left: Int) {
    if socket.pointee.asked.contains(.fromPipe) { return pipes.drain(socket.pointee.sendPipe, to: socket.pointee.descriptor) }
    let offered = Int(socket.pointee.sendCount)
    let count = leba_send(socket.pointee.descriptor, socket.pointee.sendBytes, offered)
    return (count, offered - count)
  }

  private mutating func tryReceive(_ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    if socket.pointee.asked.contains(.intoPipe), let pipe = pipes.take() {
      let count = pipes.fill(pipe, from: socket.pointee.descriptor)
      // How much came says nothing of what waits: a pipe is full of pages before it is full of bytes.
      if count > 0 { return finishReceiving(pipe, count, socket, token) }
      pipes.give(pipe)
      // Not every kind of socket can.
      if count != -Int(EINVAL) { return finishReading(count, socket, token) }
    }
    guard let buffer = pool.take() else {
      // Waits for a buffer under the same mark as the ready queue: a socket is in one of the two.
      socket.pointee.isQueued = true
      starved.append(token.slot, in: sockets)
      return nil
    }
    let count = leba_receive(socket.pointee.descriptor, pool.bytes(of: buffer), BufferPool.size)
    if count > 0 {
      // A short read means drained, unless the end has been announced: it lies right behind the last byte and no event will tell of it again.
      if count < BufferPool.size, !socket.pointee.readiness.contains(.peerEnded) { socket.pointee.readiness.remove(.readable) }
      return finishReceiving(buffer, count, socket, token)
    }
    pool.give(buffer)
    return finishReading(count, socket, token)
  }

  private func finishReceiving(
    _ buffer: Buffer, _ count: Int, _ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token
  ) -> Completion {
    socket.pointee.asked.subtract(.anyReading)
    return .received(token, buffer, count: count)
  }

  private mutating func tryPeek(_ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    let count = leba_peek(socket.pointee.descriptor)
    if count > 0 {
      socket.pointee.asked.remove(.peek)
      return .bytesWaiting(token)
    }
    return finishReading(count, socket, token)
  }

  /// What zero and errors mean is the same for a receive and a peek.
  private mutating func finishReading(_ count: Int, _ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    if count == -Int(EAGAIN) {
      // An end that was announced is there to be read, and no event tells of it again: this cannot be true.
      if socket.pointee.readiness.contains(.peerEnded) { enqueue(token.slot) } else { socket.pointee.readiness.remove(.readable) }
      return nil
    }
    socket.pointee.asked.subtract(.anyReading)
    socket.pointee.readiness.remove(.endUnreported)
    if count == 0 { return .ended(token) }
    socket.pointee.readiness.remove(.breakUnreported)
    return .receiveFailed(token, errno: Int32(-count))
  }

  private func tryConnect(_ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    var error = socket.pointee.connectError
    let readiness = socket.pointee.readiness
    if error == 0 {
      guard readiness.contains(.writable) else { return nil }
      if readiness.contains(.broken) { error = leba_socket_error(socket.pointee.descriptor) }
    }
    socket.pointee.asked.remove(.connect)
    if error == 0 { return .connected(token) }
    socket.pointee.readiness.subtract([.endUnreported, .breakUnreported])
    return .connectFailed(token, errno: error)
  }

  private func reportHangUp(_ socket: UnsafeMutablePointer<EpollSocket>, _ token: Token) -> Completion? {
    let news = socket.pointee.readiness.intersection([.endUnreported, .breakUnreported])
    guard !news.isEmpty else { return nil }
    socket.pointee.readiness.subtract(news)
    return .hungUp(token, broken: news.contains(.breakUnreported))
  }

  // MARK: Queues

  private mutating func enqueueIfTurnIsDue(_ slot: UInt32) {
    if sockets[Int(slot)].turnIsDue { enqueue(slot) }
  }

  private mutating func enqueue(_ slot: UInt32) {
    let socket = sockets + Int(slot)
    guard !socket.pointee.isQueued else { return }
    socket.pointee.isQueued = true
    ready.append(slot, in: sockets)
  }

  private mutating func feedStarved() {
    var buffers = pool.freeCount
    while buffers > 0, let slot = starved.pop(from: sockets) {
      ready.append(slot, in: sockets)
      buffers -= 1
    }
  }
}
