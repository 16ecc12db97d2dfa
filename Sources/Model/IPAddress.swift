import Glibc

/// An IPv4 or IPv6 address as a number in host order.
package enum IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  case v4(UInt32)
  case v6(IPv6Number)

  /// Parses the textual forms of `inet_pton(3)`; no zone identifiers, no octal or short IPv4 forms.
  package init?(_ text: String) {
    // C would read up to the first zero and call the rest well-formed.
    guard !text.utf8.contains(0) else { return nil }
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 {
      self = .v4(UInt32(bigEndian: v4.s_addr))
      return
    }
    var v6 = in6_addr()
    guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
    self = .v6(IPv6Number(withUnsafeBytes(of: &v6) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }))
  }

  package var description: String {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    switch self {
    case .v4(let value):
      var address = in_addr(s_addr: value.bigEndian)
      inet_ntop(AF_INET, &address, &buffer, socklen_t(buffer.count))
    case .v6(let value):
      var bigEndian = value.number.bigEndian
      inet_ntop(AF_INET6, &bigEndian, &buffer, socklen_t(buffer.count))
    }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// IPv4 before IPv6, then by number: the order that makes an answer set canonical.
  package static func < (a: IPAddress, b: IPAddress) -> Bool {
    switch (a, b) {
    case (.v4(let a), .v4(let b)): a < b
    case (.v6(let a), .v6(let b)): a < b
    case (.v4, .v6): true
    case (.v6, .v4): false
    }
  }
}

/// The 128 bits of an IPv6 address.
///
/// In two halves: a stored `UInt128` aligns whatever holds an address to 16 bytes, which makes it a third larger, and Swift 6.3 returns
/// structs with one from functions by way of a temporary of less alignment, which ends in SIGSEGV.
package struct IPv6Number: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
  private let high: UInt64
  private let low: UInt64

  package init(_ number: UInt128) {
    high = UInt64(truncatingIfNeeded: number >> 64)
    low = UInt64(truncatingIfNeeded: number)
  }

  package init(integerLiteral number: UInt128) { self.init(number) }

  package var number: UInt128 { UInt128(high) << 64 | UInt128(low) }

  package static func < (a: IPv6Number, b: IPv6Number) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension FixedWidthInteger {
  /// Decimal digits only: no sign, not even a plus.
  fileprivate init?(digits text: Substring) {
    guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    self.init(text)
  }
}

/// A range of addresses in CIDR notation: `127.0.0.0/8`, `fd00::/8`.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
  package let base: IPAddress
  package let prefixLength: Int

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = UInt8(digits: parts[1]) else { return nil }
    switch address {
    case .v4 where length > 32: return nil
    case .v6 where length > 128: return nil
    default: break
    }
    base = address
    prefixLength = Int(length)
  }

  package func contains(_ address: IPAddress) -> Bool {
    switch (base, address) {
    case (.v4(let a), .v4(let b)): prefixLength == 0 || (a ^ b) >> UInt32(32 - prefixLength) == 0
    case (.v6(let a), .v6(let b)): prefixLength == 0 || (a.number ^ b.number) >> UInt128(128 - prefixLength) == 0
    default: false
    }
  }

  package var description: String { "\(base)/\(prefixLength)" }
}

/// Where a socket listens or connects.
package enum SocketAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  case ip(IPAddress, port: UInt16)
  case unix(path: String)

  /// Parses `127.0.0.1:80`, `[::1]:80` and `unix:/run/x.sock`.
  package init?(_ text: String) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      // sun_path holds 108 bytes with its terminating zero.
      guard !path.isEmpty, path.utf8.count < 108, !path.utf8.contains(0) else { return nil }
      self = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(digits: text[text.index(after: colon)...]) else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("[") && host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
      guard case .v6(let value) = IPAddress(String(host)) else { return nil }
      self = .ip(.v6(value), port: port)
    } else {
      guard case .v4(let value) = IPAddress(String(host)) else { return nil }
      self = .ip(.v4(value), port: port)
    }
  }

  /// By address, then port; sockets in the file system last.
  package static func < (a: SocketAddress, b: SocketAddress) -> Bool {
    switch (a, b) {
    case (.ip(let a, let aPort), .ip(let b, let bPort)): (a, aPort) < (b, bPort)
    case (.unix(let a), .unix(let b)): a < b
    case (.ip, .unix): true
    case (.unix, .ip): false
    }
  }

  package var port: UInt16? {
    if case .ip(_, let port) = self { port } else { nil }
  }

  package var description: String {
    switch self {
    case .ip(let address, let port):
      if case .v6 = address { "[\(address)]:\(port)" } else { "\(address):\(port)" }
    case .unix(let path): "unix:\(path)"
    }
  }
}
