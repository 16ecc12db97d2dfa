package import Model

/// Who listens where. Two sockets on one address cannot both be had, and a listener on a backend's address would connect to
/// itself; both are found here rather than when the second socket is bound.
struct ListenerResolution {
  let groups: [GroupSpecification]
  /// Also groups that could not be built because of errors of their own.
  let drafts: [GroupDraft]
  let reader: Reader
  private var claims = AddressClaims()
  /// The fixed addresses we connect to, and whose they are.
  private var backends: [SocketAddress: BackendID] = [:]
  private(set) var listeners: [ListenerSpecification] = []

  init(groups: [GroupSpecification], drafts: [GroupDraft], declarations: Declarations, reader: Reader) {
    self.groups = groups
    self.drafts = drafts
    self.reader = reader
    claims.claim(declarations.api.value, for: "the API")
    for backend in declarations.backends.map(\.value) {
      if let id = backend.id, let address = backend.address { add(id.value, at: address) }
    }
    for case .fixed(let id, let address) in groups.flatMap(\.members).map(\.origin) { add(id, at: address) }
  }

  private mutating func add(_ backend: BackendID, at address: SocketAddress) {
    backends[address] = backends[address] ?? backend
    // What a socket on the unspecified address receives too.
    guard case .ip(let ip, let port) = address, ip.isLoopback else { return }
    let everywhere = SocketAddress.ip(ip.unspecified, port: port)
    backends[everywhere] = backends[everywhere] ?? backend
  }

  /// The listeners of the file. What is wrong with them is an error.
  mutating func add(_ declarations: [Located<ListenerDeclaration>]) {
    let built = Dictionary(groups.map { ($0.name, $0) }) { first, _ in first }
    let known = Set(drafts.map(\.name))
    var names: [ListenerName: Position] = [:]
    for declaration in declarations.map(\.value) {
      if let name = declaration.name {
        if let first = names[name.value] {
          reader.error(
            "the listener \(quoted(name.value.rawValue)) is already declared (\(first))", "choose another name", at: name.position)
        }
        names[name.value] = name.position
      }
      if let address = declaration.address { check(address, of: declaration) }
      if let group = declaration.group, !known.contains(group.value) {
        let nearest = reader.hasRoom ? nearestName(to: group.value.rawValue, among: drafts.map(\.name.rawValue)) : nil
        reader.error(
          "there is no group \(quoted(group.value.rawValue))",
          nearest.map { "the nearest known name is '\($0)'" } ?? "declare it under failover_groups or dns_backends",
          at: group.position)
      }
      guard let name = declaration.name, let address = declaration.address,
        let group = declaration.group.flatMap({ built[$0.value] })
      else { continue }
      listeners.append(ListenerSpecification(name: name.value, address: address.value, for: group, role: declaration.role))
    }
    guard !reader.hasErrors else { return }
    let served = Set(listeners.map(\.group))
    for draft in drafts where !served.contains(draft.name) {
      reader.warning(
        "no listener serves the group \(quoted(draft.name.rawValue))", "add one under listeners, or remove the group",
        at: draft.position)
    }
  }

  private mutating func check(_ address: Located<SocketAddress>, of declaration: ListenerDeclaration) {
    if let holder = claims.holder(of: address.value) {
      reader.error("the address \(address.value) is already taken by \(holder)", "choose another port", at: address.position)
    } else if let backend = backends[address.value] {
      reader.error(
        "the listener would connect to itself: \(address.value) is the address of the backend \(quoted(backend.rawValue))",
        "choose another port", at: address.position)
    }
    let name = declaration.name.map { "the listener \(quoted($0.value.rawValue))" } ?? "another listener"
    claims.claim(address.value, for: "\(name) (\(address.position))")
  }

  /// One listener a group on 127.0.0.1 and the port of its backends. Nobody asked for these, so what cannot be is a warning.
  mutating func addDefaults() {
    let positions = Dictionary(drafts.map { ($0.name, $0.position) }) { first, _ in first }
    for group in groups {
      guard let listener = ListenerSpecification(defaultFor: group) else { continue }
      let address = listener.address
      let place = positions[group.name] ?? .start
      let obstacle =
        claims.holder(of: address).map { "\(address) is taken by \($0)" }
        ?? backends[address].map { "\(address) is the address of the backend \(quoted($0.rawValue))" }
      if let obstacle {
        reader.warning(
          "the group \(quoted(group.name.rawValue)) gets no listener: \(obstacle)", "give it one under listeners", at: place)
      } else {
        claims.claim(address, for: "the group \(quoted(group.name.rawValue))")
        listeners.append(listener)
      }
    }
  }
}

extension ListenerSpecification {
  /// Where a group listens that nobody gave a listener: on 127.0.0.1, at the port of its primary or first member. Nil when that has none.
  package init?(defaultFor group: GroupSpecification) {
    guard let port = (group.members.first(where: \.isPrimary) ?? group.members.first)?.port else { return nil }
    self.init(name: ListenerName(group.name.rawValue), address: .ip(.v4(0x7F00_0001), port: port), for: group, role: nil)
  }

  init(name: ListenerName, address: SocketAddress, for group: GroupSpecification, role: ListenerRole?) {
    let usual: ListenerRole =
      switch group.mode {
      case .activePassive: .primary
      case .normal: .any
      }
    self.init(
      name: name, address: address, group: group.name, role: role ?? usual,
      clientSpeaksFirst: group.members.allSatisfy(\.proto.clientSpeaksFirst))
  }
}

/// The addresses that are spoken for. `0.0.0.0:80` and `127.0.0.1:80` are one.
private struct AddressClaims {
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

extension MemberSource {
  var port: UInt16? {
    switch origin {
    case .fixed(_, let address): address.port
    case .domain(_, let port): port
    }
  }
}
