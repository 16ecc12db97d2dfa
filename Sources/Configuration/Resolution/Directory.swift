import Model

/// One endpoint that can be a member of a group, whoever named it.
struct Candidate: Sendable {
  var origin: MemberSource.Origin
  var record = RecordKind.address
  var proto: BackendProtocol
  var weight: Int?
  var zone: String?
  /// Where `dns_backends` says so.
  var isPrimary = false
  /// The number of its entry, when a name stands for it.
  var entry: Int?
  /// Whether the group has somebody who leads without a word of the file: SRV has tiers, and TXT may mark.
  var mayLeadUnmarked = false

  init(fixed id: BackendID, at address: SocketAddress, proto: BackendProtocol, weight: Int, zone: String? = nil) {
    origin = .fixed(id, address)
    self.proto = proto
    self.weight = weight
    self.zone = zone
  }

  init(_ entry: DNSEntry, number: Int) {
    origin = .domain(entry.domain, port: entry.port)
    record = entry.record
    proto = entry.proto
    weight = entry.weight
    zone = entry.zone
    isPrimary = entry.isPrimary ?? false
    self.entry = number
    mayLeadUnmarked = entry.record == .srv || (entry.readsText && entry.isPrimary == nil)
  }

  /// What may be in a group once. The ports of SRV are those of the records, whatever the file says.
  var endpoint: MemberSource.Origin {
    if case .domain(let domain, _) = origin, record == .srv { .domain(domain, port: nil) } else { origin }
  }

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

  /// Whether an item of `backends` has this id.
  func hasBackend(_ id: String) -> Bool { backends[id] != nil }

  /// An entry made while we run.
  mutating func add(_ entry: DNSBackendDeclaration) {
    guard let domain = entry.domain else { return }
    names.append(domain.rawValue)
    domains[domain] = [Located(entry, at: .start)]
  }

  mutating func remove(_ domain: DomainName) {
    domains[domain] = nil
    names.removeAll { $0 == domain.rawValue }
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
    return Candidate(fixed: BackendID(address.description), at: address, proto: proto, weight: 1)
  }

  /// Nil when its declaration has errors of its own.
  func candidate(of entry: DNSBackendDeclaration) -> Candidate? {
    if case .address(let address) = entry.host { return candidate(at: address, proto: entry.proto) }
    return entry.entry.map { Candidate($0, number: entry.number) }
  }

  private func candidate(of backend: BackendDeclaration, id: BackendID) -> Candidate? {
    backend.address.map { Candidate(fixed: id, at: $0, proto: backend.proto, weight: backend.weight, zone: backend.zone) }
  }

  /// Another group's `is_primary` says nothing about this one.
  private func preferred(_ entries: [Located<DNSBackendDeclaration>], for group: GroupName) -> Entry {
    let entry = entries.first { $0.value.group?.value == group } ?? entries.first { $0.value.group == nil } ?? entries[0]
    guard var candidate = candidate(of: entry.value) else { return .unreadable }
    if let other = entry.value.group, other.value != group { candidate.isPrimary = false }
    return .found(candidate)
  }
}
