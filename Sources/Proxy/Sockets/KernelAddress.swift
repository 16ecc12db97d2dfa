package import CLinux
import Glibc
package import Model

/// A socket address as system calls want it. Made for each call: it is larger than all else a worker knows of a backend.
package struct KernelAddress: BitwiseCopyable {
  private(set) var storage = sockaddr_storage()
  package private(set) var length: UInt32 = 0

  var family: Int32 { Int32(storage.ss_family) }
  var isUnix: Bool { family == AF_UNIX }

  /// Nil for a unix path that does not fit: `sun_path` holds 108 bytes with its terminating zero.
  package init?(_ address: SocketAddress) {
    switch address {
    case .ip(.v4(let value), let port):
      fill(sockaddr_in.self) { v4 in
        v4.sin_family = sa_family_t(AF_INET)
        v4.sin_port = port.bigEndian
        v4.sin_addr.s_addr = value.bigEndian
      }
    case .ip(.v6(let value), let port):
      fill(sockaddr_in6.self) { v6 in
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.storeBytes(of: value.number.bigEndian, as: UInt128.self) }
      }
    case .unix(let path):
      let bytes = Array(path.utf8)
      guard !bytes.isEmpty, bytes.count < 108, !bytes.contains(0) else { return nil }
      fill(sockaddr_un.self) { un in
        un.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &un.sun_path) { $0.copyBytes(from: bytes) }
      }
    }
  }

  /// The address a socket is bound to.
  init?(localAddressOf descriptor: Int32) { self.init { getsockname(descriptor, $0, $1) } }

  /// The address of who is at the other end.
  init?(peerAddressOf descriptor: Int32) { self.init { getpeername(descriptor, $0, $1) } }

  private init?(_ query: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { query($0, &size) }
    }
    guard result == 0 else { return nil }
    length = size
  }

  var ip: SocketAddress? {
    switch family {
    case AF_INET: read(sockaddr_in.self) { .ip(.v4(UInt32(bigEndian: $0.sin_addr.s_addr)), port: UInt16(bigEndian: $0.sin_port)) }
    case AF_INET6:
      read(sockaddr_in6.self) { v6 in
        withUnsafeBytes(of: v6.sin6_addr) {
          .ip(.v6(IPv6Number(UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)))), port: UInt16(bigEndian: v6.sin6_port))
        }
      }
    default: nil
    }
  }

  /// Also where it is a path; nil for a unix socket without one.
  var socketAddress: SocketAddress? {
    guard isUnix else { return ip }
    let path = read(sockaddr_un.self) { un in withUnsafeBytes(of: un.sun_path) { Array($0.prefix { $0 != 0 }) } }
    return path.isEmpty ? nil : .unix(path: String(decoding: path, as: UTF8.self))
  }

  var isLoopback: Bool {
    switch ip {
    case .ip(.v4(let number), _): number >> 24 == 127
    case .ip(.v6(let number), _): number.number == 1
    case .unix, nil: false
    }
  }

  package func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
    withUnsafePointer(to: storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
  }

  private mutating func fill<Address>(_: Address.Type, _ body: (inout Address) -> Void) {
    withUnsafeMutablePointer(to: &storage) { $0.withMemoryRebound(to: Address.self, capacity: 1) { body(&$0.pointee) } }
    length = UInt32(MemoryLayout<Address>.size)
  }

  private func read<Address, Result>(_: Address.Type, _ body: (Address) -> Result) -> Result {
    withUnsafePointer(to: storage) { $0.withMemoryRebound(to: Address.self, capacity: 1) { body($0.pointee) } }
  }
}
