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

  init(_ backend: BackendSpecification) {
    self.init(fixed: backend.id, at: backend.address, proto: backend.proto, weight: backend.weight, zone: backend.zone)
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
///
/// Lives as long as a file is resolved, or a request is looked up; nothing of it is kept.
struct Directory {
  enum Entry {
    case found(Candidate)
    /// Declared, but its declaration has errors of its own.
    case unreadable
  }

  /// An item of `dns_backends` as references see it.
  private struct Name {
    /// Nil when its declaration has errors of its own.
    let candidate: Candidate?
    let group: GroupName?
    let port: UInt16?
  }

  /// Nil when its declaration has errors of its own.
  private var backends: [String: BackendSpecification?] = [:]
  private var idsByAddress: [SocketAddress: BackendID] = [:]
  private var domains: [DomainName: [Name]] = [:]
  /// What hints choose from.
  private var names: [String] = []

  /// All that a file declares.
  init(_ declarations: Declarations, reader: Reader) {
    for entry in declarations.dnsBackends {
      guard let domain = entry.value.domain else { continue }
      if domains[domain] == nil { names.append(domain.rawValue) }
      let candidate = entry.value.entry.map { Candidate($0, number: entry.value.number) }
      domains[domain, default: []].append(
        Name(candidate: candidate, group: entry.value.group?.value, port: entry.value.port))
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
      add(backend.specification, id: id.value)
    }
  }

  /// What a request can name, while we run: of the entries those that these texts may mean.
  init(of topology: Topology, naming texts: [String]) {
    for backend in topology.backends { add(backend, id: backend.id) }
    for domain in Set(texts.flatMap(Self.domains)) {
      for number in topology.numbers(of: domain) {
        guard let entry = topology.entry(number) else { continue }
        domains[domain, default: []].append(
          Name(candidate: Candidate(entry, number: number), group: entry.group, port: entry.port))
      }
    }
    names += topology.declared.entries.prefix(mostNamesCompared).map(\.domain.rawValue)
  }

  private mutating func add(_ backend: BackendSpecification?, id: BackendID) {
    backends.updateValue(backend, forKey: id.rawValue)
    names.append(id.rawValue)
    if let backend, idsByAddress[backend.address] == nil { idsByAddress[backend.address] = id }
  }

  /// The domains that a text may name: all of it, or what stands before its first or last colon.
  private static func domains(in text: String) -> [DomainName] {
    var domains = [DomainName(text)]
    if let first = text.firstIndex(of: ":") { domains.append(DomainName(String(text[..<first]))) }
    if let last = text.lastIndex(of: ":") { domains.append(DomainName(String(text[..<last]))) }
    return domains
  }

  /// What `text` names. A domain of which entries for `group` and for other groups exist means the group's own.
  func entry(for text: Located<String>, in group: GroupName, reader: Reader) throws(Complaint) -> Entry {
    if let backend = backends[text.value] { return backend.map { .found(Candidate($0)) } ?? .unreadable }
    if let entries = domains[DomainName(text.value)] {
      let ports = Set(entries.compactMap(\.port))
      guard ports.count <= 1 else {
        let list = ports.sorted().map(String.init).joined(separator: ", ")
        throw Complaint(
          "\(quoted(text.value)) is declared with several ports (\(list))",
          "write which is meant, for example \(text.value):\(ports.min() ?? 80)")
      }
      return preferred(entries, for: group)
    }
    if let colon = text.value.lastIndex(of: ":"), let port = portNumber(text.value[text.value.index(after: colon)...]) {
      let entries = (domains[DomainName(String(text.value[..<colon]))] ?? []).filter { $0.port == port }
      if !entries.isEmpty { return preferred(entries, for: group) }
    }
    if let address = socketAddress(text.value), case .ip(let ip, _) = address, ip.isUnicast {
      return candidate(at: address, proto: .tcp).map(Entry.found) ?? .unreadable
    }
    throw unknown(text.value, reader: reader, remedy: "declare it under backends or dns_backends, or write address:port")
  }

  private func unknown(_ text: String, reader: Reader, remedy: String) -> Complaint {
    guard reader.hasRoom, let nearest = nearestName(to: text, among: names) else {
      return Complaint("\(quoted(text)) is not declared anywhere", remedy)
    }
    return Complaint("\(quoted(text)) is not declared anywhere", "the nearest known name is '\(nearest)'; or " + remedy)
  }

  /// An endpoint that is named by its address: the declared backend there, if one is.
  func candidate(at address: SocketAddress, proto: BackendProtocol) -> Candidate? {
    if let id = idsByAddress[address], let backend = backends[id.rawValue] { return backend.map { Candidate($0) } }
    return Candidate(fixed: BackendID(address.description), at: address, proto: proto, weight: 1)
  }

  /// Nil when its declaration has errors of its own.
  func candidate(of entry: DNSBackendDeclaration) -> Candidate? {
    if case .address(let address) = entry.host { return candidate(at: address, proto: entry.proto) }
    return entry.entry.map { Candidate($0, number: entry.number) }
  }

  /// Another group's `is_primary` says nothing about this one.
  private func preferred(_ entries: [Name], for group: GroupName) -> Entry {
    let entry = entries.first { $0.group == group } ?? entries.first { $0.group == nil } ?? entries[0]
    guard var candidate = entry.candidate else { return .unreadable }
    if let other = entry.group, other != group { candidate.isPrimary = false }
    return .found(candidate)
  }
}

extension Directory {
  /// One backend, as people, the API and maintenance windows name it.
  struct Reference {
    let id: BackendID
    /// Whether the file or the API declares it, or what leads to it.
    let isDeclared: Bool
  }

  /// An id of `backends`, `domain:address:port`, or `address:port`. Nil when its declaration has errors of its own.
  func backend(named text: String, reader: Reader) throws(Complaint) -> Reference? {
    if let backend = backends[text] { return backend.map { Reference(id: $0.id, isDeclared: true) } }
    if let address = socketAddress(text), case .ip(let ip, _) = address, ip.isUnicast {
      let id = idsByAddress[address]
      return Reference(id: id ?? BackendID(address.description), isDeclared: id != nil)
    }
    if let colon = text.firstIndex(of: ":"), let address = socketAddress(String(text[text.index(after: colon)...])),
      case .ip(let ip, _) = address, ip.isUnicast
    {
      let domain = DomainName(String(text[..<colon]))
      return Reference(id: BackendID(domain: domain, address: address), isDeclared: domains[domain] != nil)
    }
    if domains[DomainName(text)] != nil {
      throw Complaint("\(quoted(text)) is a domain, which may lead to many backends", "write one of them, as domain:address:port")
    }
    throw unknown(text, reader: reader, remedy: "declare it under backends, or write domain:address:port or address:port")
  }
}
