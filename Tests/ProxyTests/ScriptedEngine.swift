import Glibc
import Model

@testable import Proxy

/// An engine without a kernel behind it: the test is the clock and the network, so what a worker does can be asserted to the nanosecond.
struct ScriptedEngine: Engine, ~Copyable {
  static var name: String { "scripted" }

  struct Connect {
    let token: Token
    let address: SocketAddress?
  }

  var time = Instant.zero
  var completions: [Completion] = []
  /// Sockets that are connecting or connected to a backend, in the order of their connects.
  private(set) var connects: [Connect] = []
  private(set) var clients: [Token] = []
  /// All there were. What comes of them is the test's to say.
  private(set) var receivesIntoPipe: [Token] = []
  private(set) var sendsFromPipe: [Token] = []
  private(set) var recycledPipes: [Buffer] = []
  private(set) var sends: [Token] = []
  private(set) var resets = 0
  private(set) var isPaused = false
  /// The deadline of the last wait.
  private(set) var deadline: Instant?
  private var descriptors: [UInt64: Int32] = [:]
  private var pool: BufferPool

  init(sockets: Int, buffers: Int, pipes: Int, wake: Int32) throws(EngineError) { pool = try BufferPool(capacity: buffers) }

  deinit { for descriptor in descriptors.values { Glibc.close(descriptor) } }

  mutating func listen(_ descriptor: Int32, as token: Token) { descriptors[token.packed] = descriptor }
  mutating func pauseAccepting(_ token: Token) { isPaused = true }
  mutating func resumeAccepting(_ token: Token) { isPaused = false }
  mutating func finishAccepting(_ token: Token) {}
  mutating func closeListener(_ token: Token) {}

  mutating func adopt(_ descriptor: Int32, as token: Token) -> Bool {
    descriptors[token.packed] = descriptor
    clients.append(token)
    return true
  }

  mutating func connect(_ descriptor: Int32, as token: Token, to address: KernelAddress) {
    descriptors[token.packed] = descriptor
    connects.append(Connect(token: token, address: address.ip))
  }

  mutating func peek(_ token: Token) {}
  mutating func receive(_ token: Token) {}
  mutating func receiveIntoPipe(_ token: Token) { receivesIntoPipe.append(token) }
  mutating func send(_ token: Token, pipe: Buffer) { sendsFromPipe.append(token) }
  mutating func send(_ token: Token, _ bytes: UnsafeRawPointer, count: Int) {
    sends.append(token)
    completions.append(.sent(token, count: count))
  }
  mutating func cancelReceive(_ token: Token) {}
  mutating func shutdownSending(_ token: Token) {}

  mutating func close(_ token: Token, reset: Bool) {
    if reset { resets += 1 }
    if let descriptor = descriptors.removeValue(forKey: token.packed) { Glibc.close(descriptor) }
    connects.removeAll { $0.token == token }
    clients.removeAll { $0 == token }
  }

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { pool.bytes(of: buffer) }
  mutating func recycle(_ buffer: Buffer) { if buffer.isPipe { recycledPipes.append(buffer) } else { pool.give(buffer) } }

  /// Bytes for a socket, as a completion.
  mutating func arrive(_ count: Int, on token: Token) {
    if let buffer = pool.take() { completions.append(.received(token, buffer, count: count)) }
  }

  mutating func wait(until deadline: Instant?, since now: Instant) -> Instant {
    self.deadline = deadline
    return time
  }

  mutating func takeWake() -> Bool { true }

  mutating func next() -> Completion? { completions.isEmpty ? nil : completions.removeFirst() }
}
