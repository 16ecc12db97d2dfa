package import Model

/// Where groups listen when the file leaves it to us. What cannot be is no error: nobody asked for these.
package struct DefaultListeners: Sendable {
  /// In the order of the groups.
  package var listeners: [ListenerSpecification] = []
  /// Why a group gets none although its port is known.
  package var obstacles: [GroupName: String] = [:]

  init() {}

  init(
    for groups: [GroupSpecification], ports: [DomainName: UInt16], keeping current: [ListenerSpecification],
    among addresses: AddressBook
  ) {
    var addresses = addresses
    let wanted = groups.map { group in
      ListenerSpecification(defaultFor: group, discoveredPort: group.leading.flatMap(\.domain).flatMap { ports[$0] })
    }
    let standing = Set(current.map { Standing(group: $0.group, address: $0.address) })
    // Who listens keeps its port: a group that DNS makes does not take it over, wherever it stands in the order.
    let isStanding = wanted.map { $0.map { standing.contains(Standing(group: $0.group, address: $0.address)) } ?? false }
    var granted: [GroupName: ListenerSpecification] = [:]
    for index in groups.indices.filter({ isStanding[$0] }) + groups.indices.filter({ !isStanding[$0] }) {
      guard let listener = wanted[index] else { continue }
      if let obstacle = addresses.obstacle(at: listener.address) {
        obstacles[listener.group] = obstacle
      } else {
        addresses.claims.claim(listener.address, for: "the group \(quoted(listener.group.rawValue))")
        granted[listener.group] = listener
      }
    }
    listeners = groups.compactMap { granted[$0.name] }
  }

  private struct Standing: Hashable {
    let group: GroupName
    let address: SocketAddress
  }
}

extension Configuration {
  /// The listeners that the groups of this moment should have: none when the file says who listens where.
  ///
  /// `ports` are those that SRV names were seen with, `current` what listens now.
  package func defaultListeners(
    for groups: [GroupSpecification], ports: [DomainName: UInt16] = [:], keeping current: [ListenerSpecification] = []
  ) -> DefaultListeners {
    if declaresListeners { return DefaultListeners() }
    var addresses = AddressBook(api: apiAddress)
    for backend in topology.backends { addresses.add(backend.id, at: backend.address) }
    addresses.add(groups)
    return DefaultListeners(for: groups, ports: ports, keeping: current, among: addresses)
  }
}

extension ListenerSpecification {
  /// Where a group listens that nobody gave a listener: on 127.0.0.1, at the port of its primary or first member, or else at the one
  /// that its records were seen with. Nil when no port is known.
  package init?(defaultFor group: GroupSpecification, discoveredPort: UInt16? = nil) {
    guard let port = group.leading?.port ?? discoveredPort else { return nil }
    self.init(name: ListenerName(group.name.rawValue), address: .ip(.v4(0x7F00_0001), port: port), for: group, role: nil)
  }

  init(name: ListenerName, address: SocketAddress, for group: GroupSpecification, role: ListenerRole?) {
    self.init(
      name: name, address: address, group: group.name, role: role ?? ListenerRole(usualFor: group.mode),
      clientSpeaksFirst: group.members.allSatisfy(\.proto.clientSpeaksFirst))
  }
}

extension ListenerRole {
  /// Without a mode, because DNS may say it any time: a listener for the primary serves everybody in a group of equals, and in an
  /// active-passive one it never sends writes to a replica.
  init(usualFor mode: GroupMode?) {
    switch mode {
    case .activePassive, nil: self = .primary
    case .normal: self = .any
    }
  }
}

extension GroupSpecification {
  fileprivate var leading: MemberSource? { members.first(where: \.isPrimary) ?? members.first }
}

extension MemberSource {
  var port: UInt16? {
    switch origin {
    case .fixed(_, let address): address.port
    case .domain(_, let port): port
    }
  }

  fileprivate var domain: DomainName? {
    if case .domain(let domain, _) = origin { domain } else { nil }
  }
}
