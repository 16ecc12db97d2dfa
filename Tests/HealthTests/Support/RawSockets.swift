import Foundation
import Glibc
import Model
import TestSupport

/// A port that is taken and refuses: bound, but nobody listens. Nobody else can be given it meanwhile.
final class RefusingPort: Sendable {
  let address: Model.SocketAddress
  fileprivate let descriptor: CInt

  /// Of the kernel's choice, or this one.
  init(_ port: UInt16 = 0) throws {
    (descriptor, address) = try boundSocket(port)
  }

  /// From now on somebody listens who never accepts; with `backlog` 0 the first connection is taken by the kernel and the
  /// SYNs of the others are dropped.
  func listen(backlog: CInt) throws {
    guard Glibc.listen(descriptor, backlog) == 0 else { throw TestFailure("listen: \(errno)") }
  }

  deinit { close(descriptor) }
}

/// A listener whose queue is full: connecting to it is met with silence.
final class SilentPort: Sendable {
  let address: Model.SocketAddress
  private let listener: RefusingPort
  private let clients: [CInt]

  init() throws {
    listener = try RefusingPort()
    address = listener.address
    try listener.listen(backlog: 0)
    let port = address.port ?? 0
    clients = (0..<4).map { _ in
      let client = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
      withLoopback(port: port) { _ = connect(client, $0, $1) }
      return client
    }
  }

  /// From now on there is room for others: nobody accepts them, so for all that may come.
  func answer() throws { try listener.listen(backlog: 4096) }

  deinit { for client in clients { close(client) } }
}

extension RefusingPort {
  /// From each port that ordinary connects have, a connection that was closed from here: the kernel remembers it for a minute. Refuses afterwards.
  func leaveRemains() throws {
    try listen(backlog: 1)
    let range = try String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
      .split { $0.isWhitespace }.compactMap { UInt16($0) }
    guard range.count == 2 else { throw TestFailure("no range of ports: \(range)") }
    for source in stride(from: range[0], through: range[1], by: 2) {
      // Taken by somebody else: there are enough others.
      guard let (client, _) = try? boundSocket(source) else { continue }
      defer { close(client) }
      guard withLoopback(port: address.port ?? 0, { connect(client, $0, $1) }) == 0 else { throw TestFailure("connect: \(errno)") }
      close(accept(descriptor, nil, nil))
      // The client closes second.
      var byte: UInt8 = 0
      guard read(client, &byte, 1) == 0 else { throw TestFailure("no end of the stream") }
    }
    guard shutdown(descriptor, CInt(SHUT_RD)) == 0 else { throw TestFailure("shutdown: \(errno)") }
  }
}

private func boundSocket(_ port: UInt16) throws -> (CInt, Model.SocketAddress) {
  let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { throw TestFailure("socket: \(errno)") }
  guard withLoopback(port: port, { bind(descriptor, $0, $1) }) == 0 else {
    close(descriptor)
    throw TestFailure("bind: \(errno)")
  }
  var name = sockaddr_in()
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  _ = withUnsafeMutablePointer(to: &name) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
  }
  return (descriptor, .ip(.v4(0x7f00_0001), port: UInt16(bigEndian: name.sin_port)))
}

@discardableResult
private func withLoopback<T>(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
  var name = sockaddr_in()
  name.sin_family = sa_family_t(AF_INET)
  name.sin_port = port.bigEndian
  name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return withUnsafePointer(to: &name) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
}
