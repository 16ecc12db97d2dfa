import Foundation
import Synchronization

/// A bound UDP socket that one thread reads and any thread sends from.
final class UDPSocket: Sendable {
  /// The kernel's form of an address, as bytes.
  typealias Peer = [UInt8]

  private let descriptor: Mutex<Int32>

  init(_ endpoint: Endpoint) throws {
    guard let address = RawAddress(endpoint) else { throw TestFailure("bad address \(endpoint)") }
    let new = socket(address.family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var on: Int32 = 1
    setsockopt(new, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard address.withSockaddr({ bind(new, $0, $1) }) == 0 else {
      let reason = errnoText()
      Foundation.close(new)
      throw TestFailure("cannot bind \(endpoint): \(reason)")
    }
    descriptor = Mutex(new)
  }

  deinit { close() }

  /// Blocks; nil after `shutDown`.
  func receive() -> (bytes: [UInt8], peer: Peer)? {
    let descriptor = descriptor.withLock { $0 }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    var peer = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let count = withUnsafeMutablePointer(to: &peer) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(descriptor, &bytes, bytes.count, 0, $0, &length) }
    }
    guard count > 0 else { return nil }
    return (Array(bytes[..<count]), withUnsafeBytes(of: peer) { Array($0.prefix(Int(length))) })
  }

  /// Under the lock, because the number of a closed descriptor may belong to somebody else a moment later.
  func send(_ bytes: [UInt8], to peer: Peer) {
    descriptor.withLock { descriptor in
      peer.withUnsafeBytes { address in
        guard let start = address.baseAddress else { return }
        _ = sendto(
          descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), start.assumingMemoryBound(to: sockaddr.self),
          socklen_t(address.count))
      }
    }
  }

  /// Wakes the reader, which closes.
  func shutDown() { descriptor.withLock { _ = shutdown($0, Int32(SHUT_RDWR)) } }

  func close() {
    descriptor.withLock {
      if $0 >= 0 { Foundation.close($0) }
      $0 = -1
    }
  }
}
