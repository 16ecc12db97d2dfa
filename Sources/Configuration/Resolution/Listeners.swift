import Model

/// Who listens where. Two sockets on one address cannot both be had, and a listener on a backend's address would connect to
/// itself; both are found here rather than when the second socket is bound.
struct ListenerResolution {
  let groups: [GroupSpecification]
  /// Also groups that could not be built because of errors of their own.
  let drafts: [GroupDraft]
  /// The entries that DNS puts into a group: of the file's, or one that only DNS makes.
  let free: [DNSBackendDeclaration]
  /// Whether DNS may say the mode of groups where the file does not.
  let readsText: Bool
  let reader: Reader
  private var addresses: AddressBook
  private(set) var listeners: [ListenerSpecification] = []

  init(
    groups: [GroupSpecification], drafts: [GroupDraft], free: [DNSBackendDeclaration], declarations: Declarations, reader: Reader
  ) {
    self.groups = groups
    self.drafts = drafts
    self.free = free
    readsText = declarations.dnsBackends.contains(where: \.value.readsText)
    self.reader = reader
    addresses = AddressBook(api: declarations.api.value)
    for backend in declarations.backends.map(\.value) {
      if let id = backend.id, let address = backend.address { addresses.add(id.value, at: address) }
    }
    addresses.add(groups)
  }

  /// The listeners of the file. What is wrong with them is an error.
  mutating func add(_ declarations: [Located<ListenerDeclaration>]) {
    let built = Dictionary(groups.map { ($0.name, $0) }) { first, _ in first }
    let known = Dictionary(drafts.map { ($0.name, $0) }) { first, _ in first }
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
      if let group = declaration.group, known[group.value] == nil, !free.isEmpty {
        reader.warning(
          "the file has no group \(quoted(group.value.rawValue))",
          "nothing answers here until DNS makes it, by group_name at a name with txt: true", at: group.position)
      } else if let group = declaration.group, known[group.value] == nil {
        let nearest = reader.hasRoom ? nearestName(to: group.value.rawValue, among: drafts.map(\.name.rawValue)) : nil
        reader.error(
          "there is no group \(quoted(group.value.rawValue))",
          nearest.map { "the nearest known name is '\($0)'" } ?? "declare it under failover_groups or dns_backends",
          at: group.position)
      }
      guard let name = declaration.name, let address = declaration.address, let group = declaration.group else { continue }
      let members = built[group.value]?.members ?? []
      let stated = known[group.value]?.declaration.mode?.value
      let mode = readsText ? stated : stated ?? built[group.value]?.mode
      listeners.append(
        ListenerSpecification(
          name: name.value, address: address.value, group: group.value, role: declaration.role ?? ListenerRole(usualFor: mode),
          // DNS can move every free entry to every group.
          clientSpeaksFirst: (members.map(\.proto) + free.map(\.proto)).allSatisfy(\.clientSpeaksFirst),
          limits: declaration.limits))
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
    if let holder = addresses.claims.holder(of: address.value) {
      reader.error("the address \(address.value) is already taken by \(holder)", "choose another port", at: address.position)
    } else if let backend = addresses.backends[address.value] {
      reader.error(
        "the listener would connect to itself: \(address.value) is the address of the backend \(quoted(backend.rawValue))",
        "choose another port", at: address.position)
    }
    let name = declaration.name.map { "the listener \(quoted($0.value.rawValue))" } ?? "another listener"
    addresses.claims.claim(address.value, for: "\(name) (\(address.position))")
  }

  /// One listener a group on 127.0.0.1 and the port of its backends.
  mutating func addDefaults() {
    let positions = Dictionary(drafts.map { ($0.name, $0.position) }) { first, _ in first }
    let defaults = DefaultListeners(for: groups, ports: [:], keeping: [], among: addresses)
    listeners = defaults.listeners
    for (group, obstacle) in defaults.obstacles {
      reader.warning(
        "the group \(quoted(group.rawValue)) gets no listener: \(obstacle)", "give it one under listeners",
        at: positions[group] ?? .start)
    }
  }
}
