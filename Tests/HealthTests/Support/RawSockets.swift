import CLinux
import Foundation
import Glibc
import Model
import TestSupport

/// A port that is taken and refuses: bound, but nobody listens. Nobody else can be given it meanwhile.
final class RefusingPort: Sendable {
  let address: Model.SocketAddress
  fileprivate let descriptor: CInt

  /// Of the kernel's choice.
  init() throws {
    (descriptor, address) = try boundSocket()
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
  /// From nearly each of the ports that ordinary connects have, a connection that was closed from here: the kernel remembers it for a minute. Refuses
  /// afterwards.
  func leaveRemains(ports: Int) throws {
    try listen(backlog: 1)
    // The kernel goes through them in turns, and skips some.
    for _ in 0..<4 * ports {
      let client = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
      guard client >= 0 else { throw TestFailure("socket: \(errno)") }
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

/// Moves the calling thread to a network that is its own, with a loopback and these ports for whoever does not choose one. Needs `Capabilities.allowNamespaces`.
func enterNetwork(ports: ClosedRange<UInt16>) throws {
  guard unshare(CLONE_NEWNET) == 0 else { throw TestFailure("unshare: \(errno)") }
  try "\(ports.lowerBound) \(ports.upperBound)".write(
    toFile: "/proc/sys/net/ipv4/ip_local_port_range", atomically: false, encoding: .utf8)
  let any = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
  defer { close(any) }
  var loopback = ifreq()
  withUnsafeMutableBytes(of: &loopback.ifr_ifrn) { $0.copyBytes(from: "lo".utf8) }
  loopback.ifr_ifru.ifru_flags = Int16(IFF_UP)
  guard ioctl(any, UInt(SIOCSIFFLAGS), &loopback) == 0 else { throw TestFailure("loopback: \(errno)") }
}

private func boundSocket() throws -> (CInt, Model.SocketAddress) {
  let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { throw TestFailure("socket: \(errno)") }
  guard withLoopback(port: 0, { bind(descriptor, $0, $1) }) == 0 else {
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
