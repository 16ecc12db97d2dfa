import Foundation
import Synchronization

package enum SocketFailure: Error, Equatable, Sendable {
  case refused
  case reset
  case timedOut
  /// The peer ended the stream before what was asked for had come.
  case ended
  case other(String)

  init(code: Int32, doing what: String) {
    switch code {
    case ECONNREFUSED: self = .refused
    case ECONNRESET, EPIPE: self = .reset
    default: self = .other("\(what): \(errnoText(code))")
    }
  }
}

/// A stream socket whose every operation has a deadline.
///
/// The plain methods block and belong on a thread (`onOwnThread`); the `async` ones do that themselves.
package final class TCPConnection: Sendable {
  private let descriptor: Mutex<Int32>
  private let limit: Duration

  init(adopting descriptor: Int32, limit: Duration = patience) {
    self.descriptor = Mutex(descriptor)
    self.limit = limit
  }

  package init(to endpoint: Endpoint, limit: Duration = patience) throws {
    guard let address = RawAddress(endpoint) else { throw SocketFailure.other("bad address \(endpoint)") }
    let new = socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard new >= 0 else { throw SocketFailure(code: errno, doing: "socket") }
    descriptor = Mutex(new)
    self.limit = limit
    guard address.withSockaddr({ connect(new, $0, $1) }) != 0 else { return }
    guard errno == EINPROGRESS else { throw SocketFailure(code: errno, doing: "connect") }
    try waitUntil(POLLOUT)
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(new, SOL_SOCKET, SO_ERROR, &code, &size)
    if code != 0 { throw SocketFailure(code: code, doing: "connect") }
  }

  package static func open(_ endpoint: Endpoint, limit: Duration = patience) async throws -> TCPConnection {
    try await onOwnThread { try TCPConnection(to: endpoint, limit: limit) }
  }

  deinit { close() }

  package func close() {
    descriptor.withLock {
      if $0 >= 0 { Foundation.close($0) }
      $0 = -1
    }
  }

  /// Closes with a reset instead of an orderly end.
  package func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(raw, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  /// Ends our direction; the other one goes on.
  package func finishSending() { shutdown(raw, Int32(SHUT_WR)) }

  private var raw: Int32 { descriptor.withLock { $0 } }

  private func waitUntil(_ event: Int32) throws {
    var entry = pollfd(fd: raw, events: Int16(event), revents: 0)
    let milliseconds = Int32(limit.components.seconds * 1000) + Int32(limit.components.attoseconds / 1_000_000_000_000_000)
    switch poll(&entry, 1, milliseconds) {
    case 0: throw SocketFailure.timedOut
    case 1...: return
    default: throw SocketFailure(code: errno, doing: "poll")
    }
  }

  // MARK: Blocking

  package func send(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let slice = UnsafeRawBufferPointer(rebasing: rest)
      let count = Foundation.send(raw, slice.baseAddress, slice.count, Int32(MSG_NOSIGNAL))
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        try waitUntil(POLLOUT)
      } else if errno != EINTR {
        throw SocketFailure(code: errno, doing: "send")
      }
    }
  }

  package func send(_ text: String) throws { try Array(text.utf8).withUnsafeBytes { try send($0) } }
  package func send(bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try send($0) } }

  /// What is there now, waiting for at least one byte; 0 at the end of the stream.
  package func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = recv(raw, buffer.baseAddress, buffer.count, 0)
      if count >= 0 { return count }
      if errno == EAGAIN { try waitUntil(POLLIN) } else if errno != EINTR { throw SocketFailure(code: errno, doing: "recv") }
    }
  }

  package func receive(atMost limit: Int = 65536) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in count = try receive(into: .init(buffer)) }
  }

  package func receive(exactly wanted: Int) throws -> [UInt8] {
    var received: [UInt8] = []
    while received.count < wanted {
      let part = try receive(atMost: wanted - received.count)
      if part.isEmpty { throw SocketFailure.ended }
      received += part
    }
    return received
  }

  package func receiveToEnd() throws -> [UInt8] {
    var received: [UInt8] = []
    while true {
      let part = try receive()
      if part.isEmpty { return received }
      received += part
    }
  }

  // MARK: Waiting elsewhere

  package func sending(_ text: String) async throws { try await onOwnThread { try self.send(text) } }

  package func receivedText(exactly count: Int) async throws -> String {
    try await onOwnThread { String(decoding: try self.receive(exactly: count), as: UTF8.self) }
  }

  package func receivedTextToEnd() async throws -> String {
    try await onOwnThread { String(decoding: try self.receiveToEnd(), as: UTF8.self) }
  }
}
