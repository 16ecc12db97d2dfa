import Model

/// Hashes that are equal in every worker, process, host and version, because they decide which backend a client belongs to.
/// `Hasher` would send it elsewhere after each restart. Guards no secret: a client that chooses its address chooses its backend.
enum StableHash {
  /// For clients without an address. A unix socket's clients are all on this host, as all of 127.0.0.1 are: one client, one backend.
  static let noAddress = mix(0)

  /// The finaliser of SplitMix64: each bit of the value changes half of the result's.
  static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// FNV-1a over the bytes, then mixed: names that differ in their last digit alone must not be neighbours.
  static func of(_ name: BackendID) -> UInt64 {
    mix(name.rawValue.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 })
  }

  static func ofClient(at descriptor: Int32) -> UInt64 {
    guard case .ip(let address, _)? = KernelAddress(peerAddressOf: descriptor)?.ip else { return noAddress }
    return of(address)
  }

  /// Without the port, which changes with each connection. An IPv4 client of a dual-stack listener is the same client.
  static func of(_ address: IPAddress) -> UInt64 {
    switch address {
    case .v4(let number): return mix(0x0000_FFFF_0000_0000 | UInt64(number))
    case .v6(let number):
      let (high, low) = (UInt64(truncatingIfNeeded: number.number >> 64), UInt64(truncatingIfNeeded: number.number))
      return mix(high == 0 ? low : mix(high) ^ low)
    }
  }
}
