import Model

/// Keeps discovered addresses out of ranges where no backend lives and where a forged or foolish answer would do harm:
/// this host's own services, the cloud's metadata service, and ourselves, which would be a loop.
///
/// Private ranges are where backends are, so they pass. So do the documentation and benchmark ranges: nothing answers there
/// in earnest, and laboratories use them. What an answer may name is decided here once; configured addresses are not asked.
struct AddressFilter: Sendable {
  enum Refusal: String, CaseIterable, Hashable, Sendable {
    case unspecified
    case loopback
    case linkLocal = "link-local"
    case metadata
    case multicast
    case reserved
    case ownListener = "own listener"
  }

  private let allowed: [AddressRange]
  private let listeners: [(address: IPAddress, port: UInt16)]

  init(allowed: [AddressRange], ownListeners: [SocketAddress]) {
    self.allowed = allowed
    listeners = ownListeners.compactMap {
      if case .ip(let address, let port) = $0 { (address, port) } else { nil }
    }
  }

  /// Whether the answer depends on which addresses this host has.
  func needsLocalAddresses(ports: Set<UInt16>) -> Bool {
    listeners.contains { $0.address.isUnspecified && ports.contains($0.port) }
  }

  /// Why `address` may not be a backend, or nil. `localAddresses` are the host's, for listeners on a wildcard.
  func refusal(of address: IPAddress, ports: Set<UInt16>, localAddresses: Set<IPAddress>) -> Refusal? {
    // A mapped address connects to the IPv4 address within, so it is that address in every respect.
    let address = address.unmapped
    if isOwnListener(address, ports: ports, localAddresses: localAddresses) { return .ownListener }
    if allowed.contains(where: { $0.contains(address) }) { return nil }
    switch address {
    case .v4(let value): return SpecialRanges.refusal(v4: value)
    case .v6(let value): return SpecialRanges.refusal(v6: value.number)
    }
  }

  private func isOwnListener(_ address: IPAddress, ports: Set<UInt16>, localAddresses: Set<IPAddress>) -> Bool {
    // Linux connects the unspecified address to itself.
    let isLocal = address.isUnspecified || address.isLoopback || localAddresses.contains(address)
    return listeners.contains { listener in
      guard ports.contains(listener.port) else { return false }
      if listener.address.isUnspecified {
        // `[::]` takes IPv4 too where the socket is dual-stack, which is Linux's default.
        return isLocal && (listener.address.isV6 || !address.isV6)
      }
      return listener.address.unmapped == address || (address.isUnspecified && listener.address.isLoopback)
    }
  }
}

/// The special-purpose registries of IANA, as far as they say where no backend can be.
private enum SpecialRanges {
  static func refusal(v4 value: UInt32) -> AddressFilter.Refusal? {
    switch value {
    // Alibaba Cloud; Oracle Cloud classic; Azure's wire server. The others' 169.254.169.254 is link-local.
    case 0x6464_64C8, 0xC000_00C0, 0xA83F_8110: .metadata
    // 0.0.0.0/8
    case 0...0x00FF_FFFF: .unspecified
    // 127.0.0.0/8
    case 0x7F00_0000...0x7FFF_FFFF: .loopback
    // 169.254.0.0/16
    case 0xA9FE_0000...0xA9FE_FFFF: .linkLocal
    // 192.0.0.0/24, protocol assignments
    case 0xC000_0000...0xC000_00FF: .reserved
    // 224.0.0.0/4
    case 0xE000_0000...0xEFFF_FFFF: .multicast
    // 240.0.0.0/4, broadcast included
    case 0xF000_0000...0xFFFF_FFFF: .reserved
    default: nil
    }
  }

  /// Single addresses inside the private range: Amazon's metadata and pod credentials, Oracle's and Google's metadata.
  private static let metadata: Set<UInt128> = [
    0xFD00_0EC2_0000_0000_0000_0000_0000_0254, 0xFD00_0EC2_0000_0000_0000_0000_0000_0023,
    0xFD00_00C1_0000_0000_0000_0000_A9FE_A9FE, 0xFD20_00CE_0000_0000_0000_0000_0000_0254,
  ]

  static func refusal(v6 value: UInt128) -> AddressFilter.Refusal? {
    if value == 0 { return .unspecified }
    if value == 1 { return .loopback }
    if metadata.contains(value) { return .metadata }
    switch UInt16(value >> 112) {
    case 0xFF00...0xFFFF: return .multicast
    case 0xFE80...0xFEBF: return .linkLocal
    // Unique local: private.
    case 0xFC00...0xFDFF: return nil
    case 0x2000...0x3FFF: break
    // Site-local, which nobody has assigned to anything else since 2004.
    case 0xFEC0...0xFEFF: return nil
    case 0x0064 where UInt16(truncatingIfNeeded: value >> 96) == 0xFF9B: break
    // Not assigned, or for other ends: discard 100::/64, segment routing 5f00::/16, IPv4-compatible ::/96.
    default: return .reserved
    }
    return embedded(in: value).lazy.compactMap { refusal(v4: $0) }.first
  }

  private static let wellKnownNAT64: UInt128 = 0x0064_FF9B << 64

  /// The IPv4 addresses to which a translator or tunnel would send this packet.
  private static func embedded(in value: UInt128) -> [UInt32] {
    let low = UInt32(truncatingIfNeeded: value)
    // 6to4, RFC 3056
    if value >> 112 == 0x2002 { return [UInt32(truncatingIfNeeded: value >> 80)] }
    // Teredo, RFC 4380: the server, and the client with its bits flipped
    if value >> 96 == 0x2001_0000 { return [UInt32(truncatingIfNeeded: value >> 64), ~low] }
    // NAT64's well-known prefix 64:ff9b::/96, and 64:ff9b:1::/48 for local use in one of RFC 6052's layouts
    if value >> 32 == wellKnownNAT64 { return [low] }
    if value >> 80 == 0x0064_FF9B_0001 { return [localNAT64(value)] }
    // What else begins with 64:ff9b is not assigned: as if it led to 0.0.0.0.
    return value >> 96 == 0x0064_FF9B ? [0] : []
  }

  /// RFC 6052 section 2.2: behind a prefix of 48, 56 or 64 bits the address is split around the empty octet at bit 64, and the
  /// rest is zero. The zeros tell the layouts apart.
  private static func localNAT64(_ value: UInt128) -> UInt32 {
    func bits(_ first: Int, _ count: Int) -> UInt32 {
      UInt32(truncatingIfNeeded: value >> UInt128(128 - first - count) & ((1 << UInt128(count)) - 1))
    }
    if bits(96, 32) != 0 && bits(104, 24) != 0 { return bits(96, 32) }
    if bits(96, 32) != 0 { return bits(72, 32) }
    if bits(88, 8) != 0 { return bits(56, 8) << 24 | bits(72, 24) }
    return bits(48, 16) << 16 | bits(72, 16)
  }
}

extension IPAddress {
  fileprivate var isV6: Bool {
    if case .v6 = self { true } else { false }
  }

  fileprivate var isUnspecified: Bool { self == .v4(0) || self == .v6(0) }

  fileprivate var isLoopback: Bool {
    switch self {
    case .v4(let value): value >> 24 == 127
    case .v6(let value): value == 1
    }
  }

  /// `::ffff:a.b.c.d` as `a.b.c.d`.
  fileprivate var unmapped: IPAddress {
    if case .v6(let value) = self, value.number >> 32 == 0xFFFF { return .v4(UInt32(truncatingIfNeeded: value.number)) }
    return self
  }
}
