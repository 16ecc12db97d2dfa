import Glibc
import Model

/// The addresses of this host's interfaces, by which an answer that leads back to our own wildcard listener is known.
enum LocalAddresses {
  static func read() -> Set<IPAddress> {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var addresses: Set<IPAddress> = []
    var next = list
    while let entry = next?.pointee {
      next = entry.ifa_next
      guard let address = entry.ifa_addr else { continue }
      switch Int32(address.pointee.sa_family) {
      case AF_INET:
        let value = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
        addresses.insert(.v4(UInt32(bigEndian: value)))
      case AF_INET6:
        var value = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self).sin6_addr
        let number = withUnsafeBytes(of: &value) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
        addresses.insert(.v6(IPv6Number(number)))
      default: continue
      }
    }
    return addresses
  }
}
