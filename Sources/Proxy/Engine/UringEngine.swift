import CLinux
import Glibc
import Model
import Threads

/// The engine over io_uring: operations are entries of a ring, and one system call a pass gives the kernel all of them and brings what
/// is done.
///
/// A receive names no buffer: the kernel takes one that lies ready when bytes are there, so idle connections hold none. It is submitted
/// when it is asked for and not kept running, because a receive that goes on by itself could not be held back while the other side is
/// slow. A withdrawn receive or peek is left with the kernel: what it brings is parked for the next one.
///
/// Sockets that nobody reads for a while are watched for the end of their stream by a poll.
struct UringEngine: Engine, ~Copyable {
  static var name: String { "io_uring" }

  private static let submissions: UInt32 = 1024
  private static let completions: UInt32 = 8192
  private static let trimInterval = Duration.seconds(1)
  /// Until the kernel may have memory again.
  private static let shortageRest: UInt32 = 1000
  private static let done = UringTag(.done, slot: 0, generation: 0).packed

  private let ring: UnsafeMutablePointer<leba_ring>
  private let wake: Int32
  let sockets: UnsafeMutablePointer<UringSocket>
  private let capacity: Int
  /// Where connects find their addresses until the kernel has read them, by place in the submission ring.
  private let addresses: UnsafeMutablePointer<sockaddr_storage>
  private var listeners: UringListeners
  private var buffers: UringBuffers
  var pipes: PipePool

  private var ready = SocketQueue<UringSocket>(link: .first)
  private var starved = SocketQueue<UringSocket>(link: .first)
  var unread = UnreadSockets()
  private var turnsLeft = 0
  private var completionsLeft: UInt32 = 0
  private var trimmedAt = Instant.zero
  private var wakeWasSignalled = false

  init(sockets count: Int, buffers: Int, pipes: Int, wake: Int32) throws(EngineError) {
    guard count <= UringTag.slots else { throw EngineError(operation: "more sockets than io_uring tells apart", errno: EINVAL) }
    let buffers = try UringBuffers(capacity: buffers)
    let ring = try Self.openRing(buffers)
    let size = count * MemoryLayout<UringSocket>.stride
    guard let memory = leba_reserve(size) else {
      Self.closeRing(ring)
      throw EngineError(operation: "setting up io_uring", errno: ENOMEM)
    }
    self.buffers = buffers
    self.pipes = PipePool(capacity: pipes)
    self.ring = ring
    self.wake = wake
    // Zeroed pages are valid entries: closed, nothing asked for, in no queue.
    sockets = memory.bindMemory(to: UringSocket.self, capacity: count)
    capacity = count
    addresses = .allocate(capacity: Int(Self.submissions))
    listeners = UringListeners(ring: ring)
    watchWake()
  }

  deinit {
    // The last closes are still to reach the kernel.
    leba_ring_enter(ring, false, -1)
    Self.closeRing(ring)
    addresses.deallocate()
    leba_unreserve(sockets, capacity * MemoryLayout<UringSocket>.stride)
  }

  /// Throws what keeps this process from using io_uring, with all that the engine needs of it.
  ///
  /// On a thread of its own: the kernel ends a ring later, by interrupting whoever opened it, and a system call of theirs would fail with EINTR.
  static func tryOut() throws(EngineError) {
    let result = Reply<EngineError?>()
    let thread = try ThreadBody.start {
      do throws(EngineError) {
        closeRing(try openRing(UringBuffers(capacity: 1)))
        result.fulfil(nil)
      } catch {
        result.fulfil(error)
      }
    }
    pthread_join(thread, nil)
    if let error = result.wait() { throw error }
  }

  private static func openRing(_ buffers: borrowing UringBuffers) throws(EngineError) -> UnsafeMutablePointer<leba_ring> {
    let ring = UnsafeMutablePointer<leba_ring>.allocate(capacity: 1)
    let status = leba_ring_open(ring, submissions, completions)
    guard status == 0 else {
      ring.deallocate()
      throw EngineError(operation: "io_uring_setup", errno: -status)
    }
    do throws(EngineError) {
      try buffers.register(with: ring)
    } catch {
      closeRing(ring)
      throw error
    }
    return ring
  }

  private static func closeRing(_ ring: UnsafeMutablePointer<leba_ring>) {
    leba_ring_close(ring)
    ring.deallocate()
  }

  // MARK: Listeners

  mutating func listen(_ descriptor: Int32, as token: Token) throws(EngineError) { listeners.open(descriptor, as: token) }
  mutating func pauseAccepting(_ token: Token) { listeners.pause(token) }
  mutating func resumeAccepting(_ token: Token) { listeners.resume(token) }
  mutating func finishAccepting(_ token: Token) { listeners.finish(token) }
  mutating func closeListener(_ token: Token) { listeners.close(token) }

  // MARK: Sockets

  mutating func adopt(_ descriptor: Int32, as token: Token) -> Bool {
    open(descriptor, as: token)
    unread.insert(token.slot, in: sockets)
    return true
  }

  mutating func connect(_ descriptor: Int32, as token: Token, to address: KernelAddress) {
    open(descriptor, as: token)
    let socket = self[token]
    socket.pointee.asked = .connect
    socket.pointee.inKernel = .connect
    leba_ring_make_room(ring, 1)
    let place = addresses + Int(ring.pointee.sq_next & ring.pointee.sq_mask)
    address.withSockaddr { UnsafeMutableRawPointer(place).copyMemory(from: $0, byteCount: Int(address.length)) }
    leba_ring_connect(ring, descriptor, place, address.length, tag(.connect, token).packed)
  }

  mutating func peek(_ token: Token) {
    let socket = self[token]
    assert(!socket.pointee.isBeingRead, "a receive is outstanding already")
    socket.pointee.asked.insert(.peek)
    unread.remove(socket)
    if socket.pointee.hasParked {
      enqueue(token.slot)
    } else if socket.pointee.inKernel.isDisjoint(with: .reading) {
      submitPeek(socket, token)
    }
  }

  mutating func receive(_ token: Token) {
    let socket = self[token]
    assert(!socket.pointee.isBeingRead, "a receive is outstanding already")
    socket.pointee.asked.insert(.receive)
    unread.remove(socket)
    if socket.pointee.hasParked {
      enqueue(token.slot)
    } else if !socket.pointee.inKernel.contains(.receive) {
      submitReceive(socket, token)
    }
  }

  mutating func receiveIntoPipe(_ token: Token) {
    let socket = self[token]
    assert(!socket.pointee.isBeingRead, "a receive is outstanding already")
    socket.pointee.asked.formUnion([.receive, .intoPipe])
    unread.remove(socket)
    enqueue(token.slot)
  }

  mutating func cancelReceive(_ token: Token) {
    self[token].pointee.asked.subtract(.anyReading)
    unread.insert(token.slot, in: sockets)
  }

  mutating func send(_ token: Token, _ bytes: UnsafeRawPointer, count: Int) {
    let socket = self[token]
    assert(!socket.pointee.asked.contains(.send), "a send is outstanding already")
    socket.pointee.asked.insert(.send)
    socket.pointee.inKernel.insert(.send)
    leba_ring_make_room(ring, 1)
    let buffer = buffers.number(of: bytes)
    buffers.lend(buffer)
    socket.pointee.sendCount = UInt32(truncatingIfNeeded: count)
    leba_ring_send(
      ring, socket.pointee.descriptor, bytes, socket.pointee.sendCount, socket.pointee.isFull,
      tag(.send, token, buffer: buffer).packed)
  }

  mutating func send(_ token: Token, pipe: Buffer) {
    let socket = self[token]
    assert(!socket.pointee.asked.contains(.send), "a send is outstanding already")
    socket.pointee.asked.formUnion([.send, .fromPipe])
    socket.pointee.sendPipe = pipe
    enqueue(token.slot)
  }

  mutating func shutdownSending(_ token: Token) {
    let socket = self[token]
    // What was to be sent before the end must have reached the kernel before it.
    if socket.pointee.inKernel.contains(.send) { leba_ring_make_room(ring, Self.submissions) }
    _ = Glibc.shutdown(socket.pointee.descriptor, Int32(SHUT_WR))
  }

  /// The entry keeps its places in the queues: its turn finds nothing asked for, or the next socket of the slot.
  mutating func close(_ token: Token, reset: Bool) {
    let socket = self[token]
    let descriptor = socket.pointee.descriptor
    if reset { leba_reset_on_close(descriptor) }
    if socket.pointee.inKernel.isEmpty {
      _ = Glibc.close(descriptor)
    } else {
      // An operation that runs keeps the connection open. Its completion says nothing: the slot's next socket has another generation.
      leba_ring_make_room(ring, 2)
      leba_ring_cancel_all(ring, descriptor, Self.done)
      leba_ring_close_descriptor(ring, descriptor, Self.done)
    }
    if socket.pointee.hasParked, socket.pointee.parkedResult > 0 {
      buffers.recycle(Buffer(number: UInt32(socket.pointee.parkedBuffer)))
    }
    unread.remove(socket)
    socket.pointee.hasParked = false
    socket.pointee.isOpen = false
    socket.pointee.asked = []
    socket.pointee.inKernel = []
  }

  private mutating func open(_ descriptor: Int32, as token: Token) {
    let socket = sockets + Int(token.slot)
    assert(!socket.pointee.isOpen, "the slot is taken")
    socket.pointee.descriptor = descriptor
    socket.pointee.generation = token.generation
    socket.pointee.isOpen = true
    socket.pointee.hasBytesWaiting = false
    socket.pointee.isFull = false
    socket.pointee.asked = []
    socket.pointee.inKernel = []
    socket.pointee.news = []
  }

  private subscript(token: Token) -> UnsafeMutablePointer<UringSocket> {
    let socket = sockets + Int(token.slot)
    assert(socket.pointee.isOpen && socket.pointee.generation == token.generation, "an operation on a closed socket")
    return socket
  }

  // MARK: Buffers

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { buffers.bytes(of: buffer) }
  mutating func recycle(_ buffer: Buffer) { if buffer.isPipe { pipes.give(buffer) } else { buffers.recycle(buffer) } }

  // MARK: Submissions

  private func tag(_ operation: UringTag.Operation, _ token: Token, buffer: UInt16 = UringTag.noBuffer) -> UringTag {
    UringTag(operation, slot: token.slot, generation: token.generation, buffer: buffer)
  }

  func submitReceive(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) {
    leba_ring_make_room(ring, 1)
    socket.pointee.inKernel.insert(.receive)
    leba_ring_receive(ring, socket.pointee.descriptor, !socket.pointee.hasBytesWaiting, tag(.receive, token).packed)
  }

  private func submitPeek(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) {
    poll(.peek, .peek, LEBA_EPOLL_IN | LEBA_EPOLL_RDHUP, socket, token)
  }

  func poll(
    _ operation: SocketOperations, _ kind: UringTag.Operation, _ events: UInt32, _ socket: UnsafeMutablePointer<UringSocket>,
    _ token: Token
  ) {
    leba_ring_make_room(ring, 1)
    socket.pointee.inKernel.insert(operation)
    leba_ring_poll(ring, socket.pointee.descriptor, events, false, tag(kind, token).packed)
  }

  private func watchWake() {
    leba_ring_make_room(ring, 1)
    leba_ring_poll(ring, wake, LEBA_EPOLL_IN, true, UringTag(.wake, slot: 0, generation: 0).packed)
  }

  // MARK: The loop

  mutating func wait(until deadline: Instant?, since now: Instant) -> Instant {
    watchUnread(now: now)
    trimIfDue(now: now)
    listeners.arm()
    buffers.offer(to: ring)
    feedStarved()
    let mayBlock = ready.count == 0 && !listeners.areReady && !wakeWasSignalled && leba_ring_completions(ring) == 0
    let status = leba_ring_enter(ring, mayBlock, timeout(until: deadline, since: now))
    // Out of memory for operations: what was prepared stays prepared.
    if status == -EAGAIN, leba_ring_completions(ring) == 0 { usleep(Self.shortageRest) }
    let now = Instant(nanoseconds: leba_monotonic_ns())
    turnsLeft = ready.count
    completionsLeft = leba_ring_completions(ring)
    listeners.beginPass()
    return now
  }

  private mutating func trimIfDue(now: Instant) {
    // Not while a completion waits to be read: the bytes that it tells of lie in a buffer which still counts as offered.
    guard isBloated, now - trimmedAt >= Self.trimInterval, leba_ring_completions(ring) == 0 else { return }
    buffers.trim(ring)
    pipes.trim()
    trimmedAt = now
  }

  mutating func takeWake() -> Bool {
    defer { wakeWasSignalled = false }
    return wakeWasSignalled
  }

  mutating func next() -> Completion? {
    while turnsLeft > 0, let slot = ready.pop(from: sockets) {
      turnsLeft -= 1
      sockets[Int(slot)].isQueued = false
      if let completion = takeTurn(slot) { return completion }
    }
    while completionsLeft > 0 {
      completionsLeft -= 1
      let completion = leba_ring_take(ring)
      if let completion = translate(UringTag(packed: completion.data), completion.result, completion.flags) { return completion }
    }
    return listeners.next()
  }

  @inline(__always) private var isBloated: Bool { buffers.isBloated || pipes.isBloated }

  /// In nanoseconds; negative: none.
  @inline(__always) private func timeout(until deadline: Instant?, since now: Instant) -> Int64 {
    var due = deadline
    if isBloated { due = sooner(due, trimmedAt + Self.trimInterval) }
    if let sweep = unread.nextSweep { due = sooner(due, sweep) }
    guard let due else { return -1 }
    return max(0, (due - now).nanoseconds)
  }

  @inline(__always) private func sooner(_ deadline: Instant?, _ other: Instant) -> Instant {
    deadline.map { min($0, other) } ?? other
  }

  // MARK: Turns

  private mutating func enqueue(_ slot: UInt32) {
    let socket = sockets + Int(slot)
    guard !socket.pointee.isQueued else { return }
    socket.pointee.isQueued = true
    ready.append(slot, in: sockets)
  }

  /// For what needs no completion of the kernel: pipes, parked results, unreported news, and receives that found no buffer.
  private mutating func takeTurn(_ slot: UInt32) -> Completion? {
    let socket = sockets + Int(slot)
    guard socket.pointee.isOpen else { return nil }
    let token = Token(slot: slot, generation: socket.pointee.generation)
    if socket.pointee.asked.contains(.fromPipe), !socket.pointee.inKernel.contains(.fromPipe) {
      if let completion = drainPipe(socket, token) {
        // One turn, one completion: what else was due has another one.
        if socket.pointee.isBeingRead { enqueue(slot) }
        return completion
      }
    }
    guard socket.pointee.isBeingRead else { return reportHangUp(socket, token) }
    if socket.pointee.hasParked { return takeParked(socket, token) }
    guard socket.pointee.asked.contains(.receive), socket.pointee.inKernel.isDisjoint(with: [.receive, .intoPipe]) else {
      return nil
    }
    if socket.pointee.asked.contains(.intoPipe) { return fillPipe(socket, token) }
    submitReceive(socket, token)
    return nil
  }

  private mutating func takeParked(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion {
    let result = socket.pointee.parkedResult
    let isPeek = socket.pointee.asked.contains(.peek)
    socket.pointee.asked.subtract(.anyReading)
    unread.insert(token.slot, in: sockets)
    if result > 0, isPeek { return .bytesWaiting(token) }
    // A peek takes nothing, not even the end.
    if !isPeek { socket.pointee.hasParked = false }
    if result > 0 {
      return .received(token, Buffer(number: UInt32(socket.pointee.parkedBuffer)), count: Int(result))
    }
    return finishReading(result, socket, token)
  }

  /// What zero and errors mean is the same for a receive and a peek.
  func finishReading(_ result: Int32, _ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion {
    socket.pointee.news.remove(.endUnreported)
    socket.pointee.news.insert(.endSeen)
    if result == 0 { return .ended(token) }
    socket.pointee.news.remove(.breakUnreported)
    socket.pointee.news.insert(.allSeen)
    return .receiveFailed(token, errno: -result)
  }

  private func reportHangUp(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion? {
    let news = socket.pointee.news.intersection(.unreported)
    guard !news.isEmpty else { return nil }
    socket.pointee.news.subtract(news)
    return .hungUp(token, broken: news.contains(.breakUnreported))
  }

  // MARK: Completions of the kernel

  private mutating func translate(_ tag: UringTag, _ result: Int32, _ flags: UInt32) -> Completion? {
    switch tag.operation {
    case .receive: return received(tag, result, flags)
    case .send: return sent(tag, result)
    case .connect: return connected(tag, result)
    case .peek: return peeked(tag, result)
    case .watch: return watched(tag, result)
    case .fillPipe: return polled(.intoPipe, tag)
    case .drainPipe: return polled(.fromPipe, tag)
    case .accept: listeners.completed(tag, result, hasMore: leba_completion_has_more(flags))
    case .wake: woken(hasMore: leba_completion_has_more(flags))
    case .done: break
    }
    return nil
  }

  /// The open socket that a completion is about; nil when it is closed.
  @inline(__always) func owner(_ tag: UringTag) -> UnsafeMutablePointer<UringSocket>? {
    let socket = sockets + Int(tag.slot)
    return socket.pointee.isOpen && tag.isOf(generation: socket.pointee.generation) ? socket : nil
  }

  private mutating func received(_ tag: UringTag, _ result: Int32, _ flags: UInt32) -> Completion? {
    var buffer: Buffer?
    if leba_completion_has_buffer(flags) { buffer = buffers.filled(leba_completion_buffer(flags), count: result) }
    guard let socket = owner(tag) else {
      if let buffer { buffers.recycle(buffer) }
      return nil
    }
    socket.pointee.inKernel.remove(.receive)
    let token = Token(slot: tag.slot, generation: socket.pointee.generation)
    if let buffer, result > 0 {
      socket.pointee.hasBytesWaiting = leba_completion_has_more_bytes(flags)
      guard socket.pointee.asked.contains(.receive) else { return park(result, buffer, socket, token) }
      socket.pointee.asked.subtract(.anyReading)
      unread.insert(tag.slot, in: sockets)
      return .received(token, buffer, count: Int(result))
    }
    if let buffer { buffers.recycle(buffer) }
    switch -result {
    case ENOBUFS:
      // No buffer lay ready. The socket waits for one under the same mark as the ready queue: it is in one of the two.
      buffers.fellShort()
      socket.pointee.hasBytesWaiting = true
      guard !socket.pointee.isQueued else { return nil }
      socket.pointee.isQueued = true
      starved.append(tag.slot, in: sockets)
      return nil
    case EAGAIN, EINTR:
      if socket.pointee.asked.contains(.receive) { submitReceive(socket, token) }
      return nil
    default:
      guard socket.pointee.asked.contains(.receive) else { return park(result, nil, socket, token) }
      socket.pointee.asked.subtract(.anyReading)
      unread.insert(tag.slot, in: sockets)
      return finishReading(result, socket, token)
    }
  }

  /// Keeps what nobody asked for any more. An end or an error is told of at once.
  private mutating func park(
    _ result: Int32, _ buffer: Buffer?, _ socket: UnsafeMutablePointer<UringSocket>, _ token: Token
  ) -> Completion? {
    socket.pointee.hasParked = true
    socket.pointee.parkedResult = result
    socket.pointee.parkedBuffer = buffer.map { UInt16(truncatingIfNeeded: $0.number) } ?? UringTag.noBuffer
    if socket.pointee.asked.contains(.peek) { return takeParked(socket, token) }
    if result == 0 { socket.pointee.news.formUnion([.endSeen, .endUnreported]) }
    if result < 0 { socket.pointee.news.formUnion([.allSeen, .breakUnreported]) }
    return reportHangUp(socket, token)
  }

  private mutating func sent(_ tag: UringTag, _ result: Int32) -> Completion? {
    buffers.sendEnded(tag.buffer)
    guard let socket = owner(tag) else { return nil }
    socket.pointee.inKernel.remove(.send)
    socket.pointee.asked.remove(.send)
    let token = Token(slot: tag.slot, generation: socket.pointee.generation)
    socket.pointee.isFull = result < Int32(bitPattern: socket.pointee.sendCount)
    if result >= 0 { return .sent(token, count: Int(result)) }
    // Nothing went, and the rest is offered again.
    if result == -EAGAIN || result == -EINTR { return .sent(token, count: 0) }
    socket.pointee.news.remove(.breakUnreported)
    return .sendFailed(token, errno: -result)
  }

  private mutating func connected(_ tag: UringTag, _ result: Int32) -> Completion? {
    guard let socket = owner(tag) else { return nil }
    socket.pointee.inKernel.remove(.connect)
    socket.pointee.asked.remove(.connect)
    let token = Token(slot: tag.slot, generation: socket.pointee.generation)
    unread.insert(tag.slot, in: sockets)
    return result == 0 ? .connected(token) : .connectFailed(token, errno: -result)
  }

  private mutating func peeked(_ tag: UringTag, _ result: Int32) -> Completion? {
    guard let socket = owner(tag) else { return nil }
    socket.pointee.inKernel.remove(.peek)
    let token = Token(slot: tag.slot, generation: socket.pointee.generation)
    let events = UInt32(bitPattern: max(0, result))
    let onlyBytes = result > 0 && events & (LEBA_EPOLL_RDHUP | LEBA_EPOLL_HUP | LEBA_EPOLL_ERR) == 0
    guard socket.pointee.asked.contains(.peek) else {
      if !onlyBytes { note(events, socket) }
      unread.insert(tag.slot, in: sockets)
      return socket.pointee.isBeingRead ? nil : reportHangUp(socket, token)
    }
    let count = onlyBytes ? 1 : leba_peek(socket.pointee.descriptor)
    if count == -Int(EAGAIN) {
      submitPeek(socket, token)
      return nil
    }
    socket.pointee.asked.remove(.peek)
    unread.insert(tag.slot, in: sockets)
    guard count > 0 else { return finishReading(Int32(truncatingIfNeeded: count), socket, token) }
    socket.pointee.hasBytesWaiting = true
    return .bytesWaiting(token)
  }

  private mutating func woken(hasMore: Bool) {
    leba_eventfd_clear(wake)
    wakeWasSignalled = true
    if !hasMore { watchWake() }
  }

  // MARK: Sockets that nobody reads

  private mutating func watchUnread(now: Instant) {
    guard unread.beginsSweep(now: now) else { return }
    while let slot = unread.popDue(from: sockets) { watch(sockets + Int(slot), slot) }
  }

  private func watch(_ socket: UnsafeMutablePointer<UringSocket>, _ slot: UInt32) {
    guard !socket.pointee.news.contains(.allSeen), socket.pointee.inKernel.isDisjoint(with: [.connect, .receive, .peek, .watch])
    else { return }
    // Once the end has been seen only a broken connection is news, and that is always waited for.
    let events = socket.pointee.news.contains(.endSeen) ? 0 : LEBA_EPOLL_RDHUP
    poll(.watch, .watch, events, socket, Token(slot: slot, generation: socket.pointee.generation))
  }

  private mutating func watched(_ tag: UringTag, _ result: Int32) -> Completion? {
    guard let socket = owner(tag) else { return nil }
    socket.pointee.inKernel.remove(.watch)
    note(UInt32(bitPattern: max(0, result)), socket)
    unread.insert(tag.slot, in: sockets)
    // A receive that is outstanding tells of it itself.
    guard !socket.pointee.isBeingRead else { return nil }
    return reportHangUp(socket, Token(slot: tag.slot, generation: socket.pointee.generation))
  }

  private func note(_ events: UInt32, _ socket: UnsafeMutablePointer<UringSocket>) {
    if events & LEBA_EPOLL_ERR != 0 {
      socket.pointee.news.formUnion([.allSeen, .breakUnreported])
    } else if events & LEBA_EPOLL_RDHUP != 0, !socket.pointee.news.contains(.endSeen) {
      socket.pointee.news.formUnion([.endSeen, .endUnreported])
    } else if events & LEBA_EPOLL_HUP != 0 {
      // Both directions are shut down: there is nothing left that could break.
      socket.pointee.news.insert(.allSeen)
    }
  }

  private mutating func feedStarved() {
    var left = buffers.offered
    while left > 0, let slot = starved.pop(from: sockets) {
      ready.append(slot, in: sockets)
      left -= 1
    }
  }
}
