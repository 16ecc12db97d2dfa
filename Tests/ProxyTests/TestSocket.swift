import CLinux
import Glibc
import Model

@testable import Proxy

/// A blocking socket with a deadline on every operation, so that a test that would hang fails instead. Closed by its last owner.
final class TestSocket: @unchecked Sendable {
  let descriptor: Int32
  private var isClosed = false

  /// How a stream ended.
  enum End: Equatable {
    case clean
    case reset
    case timedOut
  }

  init(_ descriptor: Int32, patience: Int = 20) {
    self.descriptor = descriptor
    var limit = timeval(tv_sec: patience, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  convenience init?(connectingTo address: SocketAddress, receiveBuffer: Int32? = nil) {
    guard let kernelAddress = KernelAddress(address) else { return nil }
    let descriptor = socket(kernelAddress.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    if let receiveBuffer { _ = leba_set_option(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    self.init(descriptor)
    guard kernelAddress.withSockaddr({ connect(descriptor, $0, kernelAddress.length) }) == 0 else {
      close()
      return nil
    }
  }

  convenience init?(acceptedFrom listener: Int32, patience: Int32 = 20_000) {
    var wanted = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    guard poll(&wanted, 1, patience) == 1 else { return nil }
    self.init(accept(listener, nil, nil))
  }

  deinit { close() }

  func close() {
    if !isClosed { Glibc.close(descriptor) }
    isClosed = true
  }

  func reset() {
    if !isClosed { leba_close_with_reset(descriptor) }
    isClosed = true
  }

  var localAddress: SocketAddress? { KernelAddress(localAddressOf: descriptor)?.ip }

  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The bytes that went out before an error or the deadline.
  @discardableResult
  func send(_ bytes: some Collection<UInt8>) -> Int {
    let bytes = Array(bytes)
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { break }
      sent += count
    }
    return sent
  }

  func send(_ text: String) { send(Array(text.utf8)) }

  /// Sends until nothing has gone for a while: every buffer on the way is full. How much went.
  func sendUntilStopped() -> Int {
    let chunk = noise(65536)
    var sent = 0
    var stoppedSince = leba_monotonic_ns()
    while leba_monotonic_ns() - stoppedSince < 300_000_000, sent < 100_000_000 {
      let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
      let count = chunk.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress!, $0.count, flags) }
      if count > 0 {
        sent += count
        stoppedSince = leba_monotonic_ns()
      } else {
        usleep(1000)
      }
    }
    return sent
  }

  /// Up to `count` bytes; nil at an end of any kind.
  func receive(_ count: Int = 65536) -> (bytes: [UInt8], end: End?) {
    var buffer = [UInt8](repeating: 0, count: count)
    var received = 0
    repeat { received = recv(descriptor, &buffer, count, 0) } while received < 0 && errno == EINTR
    if received > 0 { return (Array(buffer[..<received]), nil) }
    if received == 0 { return ([], .clean) }
    return ([], errno == EAGAIN ? .timedOut : .reset)
  }

  func receiveExactly(_ count: Int) -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count {
      let (bytes, end) = receive(count - all.count)
      if end != nil { break }
      all += bytes
    }
    return all
  }

  /// Whether a reset has arrived, without waiting for one.
  var isReset: Bool {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) < 0 && errno == ECONNRESET
  }

  func receiveText(_ count: Int) -> String { String(decoding: receiveExactly(count), as: UTF8.self) }

  func receiveToEnd(chunk: Int = 65536) -> (bytes: [UInt8], end: End) {
    var all: [UInt8] = []
    while true {
      let (bytes, end) = receive(chunk)
      if let end { return (all, end) }
      all += bytes
    }
  }
}

/// A server on a thread of its own, and one more for each connection.
final class TestServer: @unchecked Sendable {
  let address: SocketAddress
  private let listener: Int32
  private let path: String?
  private let count = Counter()
  private let stops = Counter()

  var accepted: Int { count.value }

  init(on text: String = "127.0.0.1:0", backlog: Int32 = 512, _ serve: @escaping @Sendable (TestSocket) -> Void) {
    (listener, address) = Self.listen(on: text, backlog: backlog)
    path = if case .unix(let path) = address { path } else { nil }
    let (descriptor, count) = (listener, count)
    Threads.start {
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        count.add(1)
        let socket = TestSocket(connection)
        Threads.start { serve(socket) }
      }
    }
  }

  deinit { stop() }

  /// Stops accepting; connections go on. The port refuses from now on.
  func stop() {
    // A second close would hit whoever has been given the descriptor since.
    stops.add(1)
    guard stops.value == 1 else { return }
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    if let path { unlink(path) }
  }

  static func listen(on text: String, backlog: Int32) -> (Int32, SocketAddress) {
    let address = SocketAddress(text)!
    let kernelAddress = KernelAddress(address)!
    let descriptor = socket(kernelAddress.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    _ = leba_set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
    precondition(kernelAddress.withSockaddr { bind(descriptor, $0, kernelAddress.length) } == 0, "bind \(text): \(errno)")
    precondition(Glibc.listen(descriptor, backlog) == 0)
    return (descriptor, KernelAddress(localAddressOf: descriptor)!.ip ?? address)
  }

  /// Answers every chunk with itself.
  static func echo(on text: String = "127.0.0.1:0") -> TestServer {
    TestServer(on: text) { socket in
      while case (let bytes, nil) = socket.receive() { socket.send(bytes) }
      socket.endSending()
    }
  }

  /// Says its name to whoever connects, then echoes.
  static func named(_ name: String, on text: String = "127.0.0.1:0") -> TestServer {
    TestServer(on: text) { socket in
      socket.send(name)
      while case (let bytes, nil) = socket.receive() { socket.send(bytes) }
    }
  }
}

/// An address nobody listens on: bound once, so that it was free, and closed again.
func refusingAddress() -> SocketAddress {
  let (descriptor, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 1)
  close(descriptor)
  return address
}

/// A listener whose backlog is full and which accepts nothing: a connect to it hangs, as to a host that drops packets.
final class Blackhole: @unchecked Sendable {
  let address: SocketAddress
  private let listener: Int32
  private var fillers: [Int32] = []

  init() {
    (listener, address) = TestServer.listen(on: "127.0.0.1:0", backlog: 0)
    let kernelAddress = KernelAddress(address)!
    for _ in 0..<4 {
      let filler = leba_stream_socket(kernelAddress.family)
      _ = kernelAddress.withSockaddr { leba_connect(filler, $0, kernelAddress.length) }
      fillers.append(filler)
    }
  }

  deinit {
    for filler in fillers { close(filler) }
    close(listener)
  }
}
