import Model

/// One endpoint that can be a member of a group, whoever named it.
struct Candidate {
  var origin: MemberSource.Origin
  var proto: BackendProtocol
  var weight: Int
  var zone: String?
  /// Where `dns_backends` says so.
  var isPrimary = false

  var label: String {
    switch origin {
    case .fixed(let id, _): id.rawValue
    case .domain(let domain, _): domain.rawValue
    }
  }
}

/// Everything that the `backends` and the `primary` of a group may name: ids, domains, and addresses with a port.
struct Directory: Sendable {
  enum Entry {
    case found(Candidate)
    /// Declared, but its declaration has errors of its own.
    case unreadable
  }

  private var backends: [String: BackendDeclaration] = [:]
  private var idsByAddress: [SocketAddress: BackendID] = [:]
  private var domains: [DomainName: [Located<DNSBackendDeclaration>]] = [:]
  private var names: [String] = []

  init(_ declarations: Declarations, reader: Reader) {
    for entry in declarations.dnsBackends {
      guard let domain = entry.value.domain else { continue }
      if domains[domain] == nil { names.append(domain.rawValue) }
      domains[domain, default: []].append(entry)
    }
    var places: [BackendID: Position] = [:]
    for backend in declarations.backends.map(\.value) {
      guard let id = backend.id else { continue }
      if let first = places[id.value] {
        reader.error("the id \(quoted(id.value.rawValue)) is already taken (\(first))", "choose another", at: id.position)
      } else if domains[DomainName(id.value.rawValue)] != nil {
        reader.error("the id \(quoted(id.value.rawValue)) is also a domain of dns_backends", "choose another", at: id.position)
      }
      places[id.value] = id.position
      backends[id.value.rawValue] = backend
      names.append(id.value.rawValue)
      if let address = backend.address, idsByAddress[address] == nil { idsByAddress[address] = id.value }
    }
  }

  /// What `text` names. A domain of which entries for `group` and for other groups exist means the group's own.
  func entry(for text: Located<String>, in group: GroupName, reader: Reader) throws(Complaint) -> Entry {
    if let backend = backends[text.value] {
      return backend.id.flatMap { candidate(of: backend, id: $0.value) }.map(Entry.found) ?? .unreadable
    }
    if let entries = domains[DomainName(text.value)] {
      let ports = Set(entries.compactMap(\.value.port))
      guard ports.count <= 1 else {
        let list = ports.sorted().map(String.init).joined(separator: ", ")
        throw Complaint(
          "\(quoted(text.value)) is declared with several ports (\(list))",
          "write which is meant, for example \(text.value):\(ports.min() ?? 80)")
      }
      return preferred(entries, for: group)
    }
    if let colon = text.value.lastIndex(of: ":"), let port = portNumber(text.value[text.value.index(after: colon)...]) {
      let entries = (domains[DomainName(String(text.value[..<colon]))] ?? []).filter { $0.value.port == port }
      if !entries.isEmpty { return preferred(entries, for: group) }
    }
    if let address = socketAddress(text.value), case .ip(let ip, _) = address, ip.isUnicast {
      return candidate(at: address, proto: .tcp).map(Entry.found) ?? .unreadable
    }
    let remedy = "declare it under backends or dns_backends, or write address:port"
    guard reader.hasRoom, let nearest = nearestName(to: text.value, among: names) else {
      throw Complaint("\(quoted(text.value)) is not declared anywhere", remedy)
    }
    throw Complaint("\(quoted(text.value)) is not declared anywhere", "the nearest known name is '\(nearest)'; or " + remedy)
  }

  /// An endpoint that is named by its address: the declared backend there, if one is.
  func candidate(at address: SocketAddress, proto: BackendProtocol) -> Candidate? {
    if let id = idsByAddress[address], let backend = backends[id.rawValue] { return candidate(of: backend, id: id) }
    return Candidate(origin: .fixed(BackendID(address.description), address), proto: proto, weight: 1)
  }

  /// Nil when its declaration has errors of its own.
  func candidate(of entry: DNSBackendDeclaration) -> Candidate? {
    let isPrimary = entry.isPrimary?.value ?? false
    switch entry.host {
    case .domain(let domain, let port):
      return Candidate(
        origin: .domain(domain, port: port), proto: entry.proto, weight: entry.weight, zone: entry.zone, isPrimary: isPrimary)
    case .address(let address): return candidate(at: address, proto: entry.proto)
    case .unreadable: return nil
    }
  }

  private func candidate(of backend: BackendDeclaration, id: BackendID) -> Candidate? {
    backend.address.map {
      Candidate(origin: .fixed(id, $0), proto: backend.proto, weight: backend.weight, zone: backend.zone)
    }
  }

  /// Another group's `is_primary` says nothing about this one.
  private func preferred(_ entries: [Located<DNSBackendDeclaration>], for group: GroupName) -> Entry {
    let entry = entries.first { $0.value.group?.value == group } ?? entries.first { $0.value.group == nil } ?? entries[0]
    guard var candidate = candidate(of: entry.value) else { return .unreadable }
    if let other = entry.value.group, other.value != group { candidate.isPrimary = false }
    return .found(candidate)
  }
}
