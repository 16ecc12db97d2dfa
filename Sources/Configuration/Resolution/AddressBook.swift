import Model

/// The addresses that no listener may have: those that are taken, and those we connect to.
struct AddressBook {
  var claims = AddressClaims()
  /// The fixed addresses we connect to, and whose they are.
  private(set) var backends: [SocketAddress: BackendID] = [:]

  init(api: SocketAddress) { claims.claim(api, for: "the API") }

  mutating func add(_ groups: [GroupSpecification]) {
    for group in groups {
      for case .fixed(let id, let address) in group.members.lazy.map(\.origin) { add(id, at: address) }
    }
  }

  mutating func add(_ backend: BackendID, at address: SocketAddress) {
    backends[address] = backends[address] ?? backend
    // What a socket on the unspecified address receives too.
    guard case .ip(let ip, let port) = address, ip.isLoopback else { return }
    let everywhere = SocketAddress.ip(ip.unspecified, port: port)
    backends[everywhere] = backends[everywhere] ?? backend
  }

  func obstacle(at address: SocketAddress) -> String? {
    claims.holder(of: address).map { "\(address) is taken by \($0)" }
      ?? backends[address].map { "\(address) is the address of the backend \(quoted($0.rawValue))" }
  }
}

/// The addresses that are spoken for. `0.0.0.0:80` and `127.0.0.1:80` are one.
struct AddressClaims {
  private var holders: [SocketAddress: String] = [:]
  private var byPort: [UInt16: [IPAddress]] = [:]

  func holder(of address: SocketAddress) -> String? {
    if let exact = holders[address] { return exact }
    guard case .ip(let ip, let port) = address else { return nil }
    let other = byPort[port]?.first { $0.isSameFamily(as: ip) && ($0.isUnspecified || ip.isUnspecified) }
    return other.flatMap { holders[.ip($0, port: port)] }
  }

  mutating func claim(_ address: SocketAddress, for holder: String) {
    guard holders[address] == nil else { return }
    holders[address] = holder
    if case .ip(let ip, let port) = address { byPort[port, default: []].append(ip) }
  }
}

extension IPAddress {
  /// The unspecified address of the same family.
  var unspecified: IPAddress {
    switch self {
    case .v4: .v4(0)
    case .v6: .v6(0)
    }
  }

  func isSameFamily(as other: IPAddress) -> Bool {
    switch (self, other) {
    case (.v4, .v4), (.v6, .v6): true
    case (.v4, .v6), (.v6, .v4): false
    }
  }
}
