import CLinux
import Glibc
import Model
import Synchronization
import Testing

@testable import Proxy

/// What the worker relies on, whatever the engine: another engine runs the same tests.
@Suite struct EngineTests {
  @Test func epollKeepsTheContract() throws {
    try contract(EpollEngine.self)
  }

  @Test func ioUringKeepsTheContract() throws {
    try contract(UringEngine.self)
  }

  @Test func whyThereIsNoIoUringIsSaidInWords() throws {
    func text(_ errno: Int32) -> String { EngineInUse.explain(EngineError(operation: "io_uring_setup", errno: errno)) }
    #expect(text(EPERM).contains("seccomp"))
    #expect(text(ENOSYS) == "this kernel has none")
    #expect(text(EIO) == "io_uring_setup: Input/output error")
    #expect(EngineInUse(kind: .epoll, reason: text(ENOSYS)).description == "epoll (no io_uring: this kernel has none)")
    let wanted = try EngineInUse(.epoll)
    #expect(wanted.description == "epoll")
  }

  private func contract<E: Engine & ~Copyable>(_: E.Type) throws {
    try bytesAndEnds(E.self)
    try aPeekTakesNothing(E.self)
    try hangUpsAreToldUnasked(E.self)
    try aClosedSocketIsNeverHeardOfAgain(E.self)
    try receivesWaitForABuffer(E.self)
    try aSendThatDoesNotFitIsFinishedLater(E.self)
    try bytesPassThroughAPipeUnchanged(E.self)
    try aPipeIsForOneFlowAtATime(E.self)
    try bytesLeftInAPipeAreNeverSeenAgain(E.self)
    try aSendFromAPipeThatDoesNotFitIsFinishedLater(E.self)
    try aBrokenConnectionEndsASendFromAPipe(E.self)
    try endsAndErrorsAreToldToAReceiveIntoAPipe(E.self)
    try connectsEndEitherWay(E.self)
    try listenersPauseAndFinish(E.self)
    try theWakeEndsAWait(E.self)
  }

  private func bytesAndEnds<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let peer = bench.pair(7)
    bench.engine.receive(bench.token(7))
    let nothing = bench.next(patience: .milliseconds(20))
    #expect(nothing == nil)
    peer.send("hello")
    peer.endSending()
    let text = bench.receivedText(7)
    #expect(text == "hello")
    bench.engine.receive(bench.token(7))
    let end = bench.next()
    #expect(end == .ended(bench.token(7)))
    let sent = bench.send("answer", 7)
    #expect(sent == .sent(bench.token(7), count: 6))
    #expect(peer.receiveText(6) == "answer")
    bench.engine.shutdownSending(bench.token(7))
    #expect(peer.receive().end == .clean)
  }

  private func aPeekTakesNothing<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let peer = bench.pair(0)
    bench.engine.peek(bench.token(0))
    peer.send("x")
    let waiting = bench.next()
    #expect(waiting == .bytesWaiting(bench.token(0)))
    bench.engine.receive(bench.token(0))
    let text = bench.receivedText(0)
    #expect(text == "x")
    bench.engine.peek(bench.token(0))
    bench.engine.cancelReceive(bench.token(0))
    bench.engine.receive(bench.token(0))
    peer.send("y")
    let second = bench.receivedText(0)
    #expect(second == "y")
  }

  private func hangUpsAreToldUnasked<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let peer = bench.pair(3)
    peer.send("unread")
    peer.endSending()
    let news = bench.next()
    #expect(news == .hungUp(bench.token(3), broken: false))
    let again = bench.next(patience: .milliseconds(20))
    #expect(again == nil, "told once")
    bench.engine.receive(bench.token(3))
    let text = bench.receivedText(3)
    #expect(text == "unread")
    peer.reset()
    let broken = bench.next()
    #expect(broken == .hungUp(bench.token(3), broken: true))
  }

  private func aClosedSocketIsNeverHeardOfAgain<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let old = bench.pair(5)
    bench.engine.receive(bench.token(5))
    old.send("for the old one")
    bench.engine.close(bench.token(5), reset: true)
    let nothing = bench.next(patience: .zero)
    #expect(nothing == nil)
    #expect(old.receive().end == .reset)
    let new = bench.pair(5, generation: 2)
    bench.engine.receive(bench.token(5, generation: 2))
    let silence = bench.next(patience: .milliseconds(20))
    #expect(silence == nil)
    new.send("new")
    let text = bench.receivedText(5, generation: 2)
    #expect(text == "new")
  }

  private func receivesWaitForABuffer<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>(buffers: 1)
    let (first, second) = (bench.pair(0), bench.pair(1))
    bench.engine.receive(bench.token(0))
    first.send("a")
    guard case .received(let token, let buffer, _) = bench.next() else {
      Issue.record("nothing received")
      return
    }
    #expect(token == bench.token(0))
    bench.engine.receive(bench.token(1))
    second.send("b")
    let starved = bench.next(patience: .milliseconds(20))
    #expect(starved == nil)
    bench.engine.recycle(buffer)
    let text = bench.receivedText(1)
    #expect(text == "b")
  }

  private func aSendThatDoesNotFitIsFinishedLater<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let peer = bench.pair(2)
    let bytes = noise(65536)
    var total = 0
    // Until one does not complete: the peer's window and our send buffer are full.
    while true {
      bench.bytes.copyMemory(from: bytes, byteCount: bytes.count)
      bench.engine.send(bench.token(2), bench.bytes, count: bytes.count)
      guard case .sent(_, let count) = bench.next(patience: .milliseconds(50)) else { break }
      total += count
      try #require(total < 100_000_000)
    }
    while total > 0, case (let bytes, nil) = peer.receive() {
      total -= bytes.count
      if let completion = bench.next(patience: .zero) {
        guard case .sent(bench.token(2), let count) = completion else {
          Issue.record("\(completion)")
          return
        }
        #expect(count > 0)
        return
      }
    }
    let late = bench.next()
    guard case .sent = late else {
      Issue.record("the send was never finished: \(String(describing: late))")
      return
    }
  }

  private func bytesPassThroughAPipeUnchanged<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let (source, destination) = (bench.pair(0), bench.pair(1))
    let bytes = noise(3_000_000)
    Threads.start {
      source.send(bytes)
      source.endSending()
    }
    let collected = Collector(destination)
    var (passed, piped) = (0, 0)
    while true {
      bench.engine.receiveIntoPipe(bench.token(0))
      let completion = bench.next()
      if completion == .ended(bench.token(0)) { break }
      guard case .received(bench.token(0), let buffer, let count) = completion, count > 0 else {
        Issue.record("\(String(describing: completion))")
        return
      }
      if buffer.isPipe { piped += count }
      passed += bench.sendAll(buffer, count, 1)
      bench.engine.recycle(buffer)
    }
    bench.engine.shutdownSending(bench.token(1))
    #expect(passed == bytes.count)
    #expect(piped == bytes.count, "there was a pipe every time")
    let isWhole = collected.wait() == bytes
    #expect(isWhole)
  }

  private func aPipeIsForOneFlowAtATime<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>(pipes: 1)
    let (first, second) = (bench.pair(0), bench.pair(1))
    bench.engine.receiveIntoPipe(bench.token(0))
    first.send("first")
    let held = bench.next()
    guard case .received(bench.token(0), let pipe, 5) = held, pipe.isPipe else {
      Issue.record("\(String(describing: held))")
      return
    }
    bench.engine.receiveIntoPipe(bench.token(1))
    second.send("second")
    let text = bench.receivedText(1)
    #expect(text == "second", "without a pipe it is a receive like any other")
    // Withdrawn, it leaves nothing behind.
    bench.engine.receiveIntoPipe(bench.token(1))
    bench.engine.cancelReceive(bench.token(1))
    bench.engine.recycle(pipe)
    bench.engine.receive(bench.token(1))
    second.send("more")
    let more = bench.receivedText(1)
    #expect(more == "more")
    let none = try Bench<E>(pipes: 0)
    try none.receivesPlainly()
  }

  private func bytesLeftInAPipeAreNeverSeenAgain<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>(pipes: 1)
    let (source, destination) = (bench.pair(0), bench.pair(1))
    for (text, isPassedOn) in [("secret", false), ("public", true)] {
      bench.engine.receiveIntoPipe(bench.token(0))
      source.send(text)
      let completion = bench.next()
      guard case .received(bench.token(0), let pipe, 6) = completion, pipe.isPipe else {
        Issue.record("\(String(describing: completion))")
        return
      }
      let passed = isPassedOn ? bench.sendAll(pipe, 6, 1) : 6
      #expect(passed == 6)
      bench.engine.recycle(pipe)
    }
    bench.engine.close(bench.token(1), reset: false)
    #expect(destination.receiveText(100) == "public")
  }

  private func aSendFromAPipeThatDoesNotFitIsFinishedLater<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let (source, destination) = (bench.pair(0), bench.pair(1))
    let chunk = noise(1_000_003)
    var (offered, passed) = (0, 0)
    var stuck: (pipe: Buffer, left: Int)?
    // Until the window of the peer and our send buffer are full, with bytes in the pipe.
    while stuck == nil, passed < 100_000_000 {
      offered += chunk.withUnsafeBytes {
        max(
          0, Glibc.send(source.descriptor, $0.baseAddress! + offered % $0.count, $0.count - offered % $0.count, Int32(MSG_DONTWAIT))
        )
      }
      bench.engine.receiveIntoPipe(bench.token(0))
      guard case .received(_, let pipe, let count) = bench.next() else { break }
      var left = count
      while left > 0 {
        bench.offer(pipe, left, of: count, 1)
        guard case .sent(bench.token(1), let count) = bench.next(patience: .milliseconds(50)) else {
          stuck = (pipe, left)
          break
        }
        left -= count
        passed += count
      }
      if stuck == nil { bench.engine.recycle(pipe) }
    }
    var (pipe, left) = try #require(stuck)
    try #require(pipe.isPipe)
    // Nothing is asked of the source meanwhile, so its end is told unasked.
    source.reset()
    let news = bench.next()
    #expect(news == .hungUp(bench.token(0), broken: true))
    let collected = Collector(destination)
    while left > 0 {
      guard case .sent(bench.token(1), let count) = bench.next(), count > 0 else { break }
      passed += count
      left -= count
      if left > 0 { bench.engine.send(bench.token(1), pipe: pipe) }
    }
    #expect(left == 0)
    bench.engine.recycle(pipe)
    bench.engine.shutdownSending(bench.token(1))
    var expected: [UInt8] = []
    while expected.count < passed { expected += chunk }
    let isWhole = collected.wait() == Array(expected[..<passed])
    #expect(isWhole)
  }

  private func aBrokenConnectionEndsASendFromAPipe<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let (source, destination) = (bench.pair(0), bench.pair(1))
    bench.engine.receiveIntoPipe(bench.token(0))
    source.send("in vain")
    guard case .received(_, let pipe, _) = bench.next(), pipe.isPipe else {
      Issue.record("nothing received")
      return
    }
    destination.reset()
    let news = bench.next()
    #expect(news == .hungUp(bench.token(1), broken: true))
    bench.engine.send(bench.token(1), pipe: pipe)
    let failure = bench.next()
    guard case .sendFailed(bench.token(1), _) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    // A close while a send from a pipe is outstanding frees the pipe at once, as it does memory.
    let other = bench.pair(2)
    bench.engine.send(bench.token(2), pipe: pipe)
    bench.engine.close(bench.token(2), reset: true)
    bench.engine.recycle(pipe)
    let silence = bench.next(patience: .milliseconds(20))
    #expect(silence == nil)
    #expect(other.receive().end == .reset)
  }

  private func endsAndErrorsAreToldToAReceiveIntoAPipe<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let (ending, breaking) = (bench.pair(0), bench.pair(1))
    bench.engine.receiveIntoPipe(bench.token(0))
    let nothing = bench.next(patience: .milliseconds(20))
    #expect(nothing == nil)
    ending.endSending()
    let end = bench.next()
    #expect(end == .ended(bench.token(0)))
    bench.engine.receiveIntoPipe(bench.token(1))
    breaking.reset()
    let failure = bench.next()
    #expect(failure == .receiveFailed(bench.token(1), errno: ECONNRESET))
  }

  private func connectsEndEitherWay<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let server = TestServer.named("hi")
    let good = try #require(KernelAddress(server.address))
    bench.engine.connect(leba_stream_socket(good.family), as: bench.token(1), to: good)
    let connected = bench.next()
    #expect(connected == .connected(bench.token(1)))
    bench.engine.receive(bench.token(1))
    let text = bench.receivedText(1)
    #expect(text == "hi")
    let bad = try #require(KernelAddress(refusingAddress()))
    bench.engine.connect(leba_stream_socket(bad.family), as: bench.token(2), to: bad)
    let refused = bench.next()
    #expect(refused == .connectFailed(bench.token(2), errno: ECONNREFUSED))
    let missing = try #require(KernelAddress(.unix(path: "/nonexistent/x.sock")))
    bench.engine.connect(leba_stream_socket(missing.family), as: bench.token(3), to: missing)
    let absent = bench.next()
    #expect(absent == .connectFailed(bench.token(3), errno: ENOENT))
  }

  private func listenersPauseAndFinish<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let (descriptor, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 16)
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    let token = Token(listener: 4, generation: 9)
    try bench.engine.listen(descriptor, as: token)
    var clients = [try #require(TestSocket(connectingTo: address))]
    let first = bench.acceptNext(token)
    #expect(first)
    bench.engine.pauseAccepting(token)
    clients.append(try #require(TestSocket(connectingTo: address)))
    let paused = bench.next(patience: .milliseconds(20))
    #expect(paused == nil)
    bench.engine.resumeAccepting(token)
    let second = bench.acceptNext(token)
    #expect(second)
    // What waits in the backlog is taken before the end.
    bench.engine.pauseAccepting(token)
    for _ in 0..<3 { clients.append(try #require(TestSocket(connectingTo: address))) }
    bench.engine.finishAccepting(token)
    for _ in 0..<3 {
      let accepted = bench.acceptNext(token)
      #expect(accepted)
    }
    let ended = bench.next()
    #expect(ended == .acceptingEnded(token))
    #expect(TestSocket(connectingTo: address) == nil)
  }

  private func theWakeEndsAWait<E: Engine & ~Copyable>(_: E.Type) throws {
    var bench = try Bench<E>()
    let wake = bench.wake
    Threads.start { leba_eventfd_signal(wake) }
    var woken = false
    while !woken {
      _ = bench.engine.wait(until: nil, since: .zero)
      while bench.engine.next() != nil {}
      woken = bench.engine.takeWake()
    }
    let again = bench.engine.takeWake()
    #expect(!again)
  }
}

/// An engine and the peers of its sockets.
private struct Bench<E: Engine & ~Copyable>: ~Copyable {
  var engine: E
  let wake: Int32
  let bytes = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 16)

  init(buffers: Int = 4, pipes: Int = 2) throws {
    // As on a worker's thread, which has it blocked.
    signal(SIGPIPE, SIG_IGN)
    wake = leba_eventfd()
    engine = try E(sockets: 16, buffers: buffers, pipes: pipes, wake: wake)
  }

  deinit {
    close(wake)
    bytes.deallocate()
  }

  func token(_ slot: UInt32, generation: UInt32 = 1) -> Token { Token(slot: slot, generation: generation) }

  /// A connected TCP socket in the engine, and its other end.
  mutating func pair(_ slot: UInt32, generation: UInt32 = 1) -> TestSocket {
    let (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 1)
    defer { close(listener) }
    let peer = TestSocket(connectingTo: address)!
    _ = engine.adopt(leba_accept(listener), as: token(slot, generation: generation))
    return peer
  }

  mutating func next(patience: Duration = .seconds(20)) -> Completion? {
    let end = Instant(nanoseconds: leba_monotonic_ns()) + patience
    var now = Instant(nanoseconds: leba_monotonic_ns())
    repeat {
      if let completion = engine.next() { return completion }
      now = engine.wait(until: end, since: now)
    } while now < end
    return engine.next()
  }

  mutating func receivedText(_ slot: UInt32, generation: UInt32 = 1) -> String? {
    guard case .received(token(slot, generation: generation), let buffer, let count) = next() else { return nil }
    defer { engine.recycle(buffer) }
    return String(decoding: UnsafeRawBufferPointer(start: engine.bytes(of: buffer), count: count), as: UTF8.self)
  }

  /// Without pipes, what was to come in one comes as text.
  consuming func receivesPlainly() throws {
    let peer = pair(0)
    engine.receiveIntoPipe(token(0))
    peer.send("plain")
    let text = receivedText(0)
    #expect(text == "plain")
  }

  mutating func offer(_ buffer: Buffer, _ count: Int, of total: Int? = nil, _ slot: UInt32) {
    if buffer.isPipe { return engine.send(token(slot), pipe: buffer) }
    engine.send(token(slot), engine.bytes(of: buffer) + ((total ?? count) - count), count: count)
  }

  /// What went before nothing more did.
  mutating func sendAll(_ buffer: Buffer, _ count: Int, _ slot: UInt32) -> Int {
    var left = count
    while left > 0 {
      offer(buffer, left, of: count, slot)
      guard case .sent(token(slot), let sent) = next(), sent > 0 else { break }
      left -= sent
    }
    return count - left
  }

  mutating func send(_ text: String, _ slot: UInt32) -> Completion? {
    bytes.copyMemory(from: Array(text.utf8), byteCount: text.utf8.count)
    engine.send(token(slot), bytes, count: text.utf8.count)
    return next()
  }

  mutating func acceptNext(_ listener: Token) -> Bool {
    guard case .accepted(listener, let descriptor) = next() else { return false }
    return close(descriptor) == 0
  }
}

/// Reads a socket to its end on a thread of its own.
private final class Collector: Sendable {
  private let result = Mutex<[UInt8]?>(nil)

  init(_ socket: TestSocket) {
    Threads.start { [self] in
      let (bytes, _) = socket.receiveToEnd()
      result.withLock { $0 = bytes }
    }
  }

  func wait() -> [UInt8]? {
    _ = eventually { result.withLock { $0 != nil } }
    return result.withLock { $0 }
  }
}
