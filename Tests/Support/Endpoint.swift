import Foundation

/// Where a client connects or a server listens.
package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
  case ip(String, UInt16)
  case unix(String)

  package var description: String {
    switch self {
    case .ip(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  package var port: UInt16 {
    switch self {
    case .ip(_, let port): port
    case .unix: 0
    }
  }
}

/// The kernel's form of an address.
struct RawAddress {
  private var storage = sockaddr_storage()
  private var length: socklen_t = 0
  let family: Int32

  init?(_ endpoint: Endpoint) {
    switch endpoint {
    case .ip(let host, let port): self.init(host, port: port)
    case .unix(let path): self.init(unix: path)
    }
  }

  init?(_ host: String, port: UInt16) {
    family = host.contains(":") ? AF_INET6 : AF_INET
    var parsed = false
    withUnsafeMutableBytes(of: &storage) { bytes in
      if family == AF_INET6 {
        let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in6.self)
        address.pointee.sin6_family = sa_family_t(AF_INET6)
        address.pointee.sin6_port = port.bigEndian
        parsed = inet_pton(AF_INET6, host, &address.pointee.sin6_addr) == 1
      } else {
        let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in.self)
        address.pointee.sin_family = sa_family_t(AF_INET)
        address.pointee.sin_port = port.bigEndian
        parsed = inet_pton(AF_INET, host, &address.pointee.sin_addr) == 1
      }
    }
    guard parsed else { return nil }
    length = socklen_t(family == AF_INET6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
  }

  init?(unix path: String) {
    family = AF_UNIX
    let bytes = Array(path.utf8) + [0]
    guard bytes.count <= 108 else { return nil }
    withUnsafeMutableBytes(of: &storage) { storage in
      storage.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
      for (index, byte) in bytes.enumerated() { storage[MemoryLayout<sa_family_t>.size + index] = byte }
    }
    length = socklen_t(MemoryLayout<sockaddr_un>.size)
  }

  func withSockaddr<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    withUnsafeBytes(of: storage) { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length) }
  }
}
