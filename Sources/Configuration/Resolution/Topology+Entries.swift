package import Model

/// Entries that come and go while we run: `POST` and `DELETE /dns/backends`.
extension Topology {
  /// About as many as a file can hold.
  static var mostAdded: Int { 10_000 }

  /// Adds an entry under the rules of the file. Nothing is changed when it is refused.
  @discardableResult
  package mutating func add(_ request: DNSEntryRequest) throws(DNSEntryRefusal) -> DNSEntry {
    // No environment: what comes over the network does not read our variables.
    let reader = Reader(file: "", environment: [:])
    guard var declaration = request.declaration(reader: reader), let entry = declaration.entry, !reader.hasErrors else {
      throw .invalid(reasons: reader.diagnostics.map { "\($0.problem); \($0.remedy)" })
    }
    guard numbers[entry.domain] == nil else { throw .exists(entry.domain) }
    let reasons = conflicts(of: entry)
    guard reasons.isEmpty else { throw .invalid(reasons: reasons) }

    let number = nextNumber
    nextNumber += 1
    declaration.number = number
    records[number] = Record(entry: entry, isFree: true)
    numbers[entry.domain] = [number]
    domains.append(DomainSpecification(entry))
    directory.add(declaration)
    changed = []
    if let group = group(of: number) {
      join(group, number)
      rebuild([group])
    }
    return entry
  }

  private func conflicts(of entry: DNSEntry) -> [String] {
    var reasons: [String] = []
    let added = records.count - declared
    if added >= Self.mostAdded { reasons.append("\(added) entries were added already; remove some, or write them into \(file)") }
    if directory.hasBackend(entry.domain.rawValue) {
      reasons.append("\(quoted(entry.domain.rawValue)) is also an id of backends; choose another")
    }
    if entry.isPrimary == true, let group = entry.group,
      let first = derivation(of: group).seats.first(where: \.candidate.isPrimary)
    {
      reasons.append(
        "the group \(quoted(group.rawValue)) has a primary already, \(quoted(first.candidate.label)); leave is_primary out")
    }
    return reasons
  }

  /// Removes the entry of a domain that was made through the API.
  package mutating func remove(_ domain: DomainName) throws(DNSEntryRefusal) {
    guard let leaving = numbers[domain] else { throw .unknown(domain) }
    guard leaving.allSatisfy({ records[$0]?.entry.origin == .api }) else { throw .declared(domain, file: file) }
    let groups = Set(leaving.compactMap(group))
    for number in leaving {
      if let group = group(of: number) { leave(group, number) }
      records[number] = nil
    }
    numbers[domain] = nil
    texts[domain] = nil
    ignored[domain] = nil
    domains.removeAll { $0.domain == domain }
    directory.remove(domain)
    changed = []
    rebuild(groups)
  }
}
