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
    guard let entry = request.declaration(reader: reader)?.entry, !reader.hasErrors else { throw .invalid(reasons: reader.reasons) }
    if let refusal = refusal(of: entry) { throw refusal }
    changed = []
    // It waits for DNS, or says its group itself.
    let group = entry.group != nil || !entry.readsText ? entry.statedGroup : nil
    change(group.map { [$0] } ?? []) { topology in
      let number = topology.insert(entry)
      if let group { topology.join(group, number) }
    }
    return entry
  }

  /// Why an entry cannot be added; nil when it can.
  func refusal(of entry: DNSEntry) -> DNSEntryRefusal? {
    if !numbers(of: entry.domain).isEmpty { return .exists(entry.domain) }
    var reasons: [String] = []
    if added.count >= Self.mostAdded {
      reasons.append("\(added.count) entries were added already; remove some, or write them into \(declared.file)")
    }
    if hasBackend(BackendID(entry.domain.rawValue)) {
      reasons.append("\(quoted(entry.domain.rawValue)) is also an id of backends; choose another")
    }
    if entry.isPrimary == true, let group = entry.group,
      let first = derivation(of: group).seats.first(where: \.candidate.isPrimary)
    {
      reasons.append(
        "the group \(quoted(group.rawValue)) has a primary already, \(quoted(first.candidate.label)); leave is_primary out")
    }
    return reasons.isEmpty ? nil : .invalid(reasons: reasons)
  }

  /// Notes an entry, which is in no group yet, and returns its number.
  mutating func insert(_ entry: DNSEntry) -> Int {
    let number = nextNumber
    nextNumber += 1
    added[number] = entry
    addedNumbers[entry.domain] = number
    return number
  }

  /// Removes the entry of a domain that was made through the API.
  package mutating func remove(_ domain: DomainName) throws(DNSEntryRefusal) {
    guard let number = addedNumbers[domain] else {
      if declared.numbers(of: domain).isEmpty { throw .unknown(domain) }
      throw .declared(domain, file: declared.file)
    }
    let group = group(of: number)
    change(group.map { [$0] } ?? []) { topology in
      if let group { topology.leave(group, number) }
      topology.added[number] = nil
      topology.addedNumbers[domain] = nil
      topology.texts[domain] = nil
      topology.ignored[domain] = nil
    }
  }
}
