import Model

/// A group before its members are looked up: what `failover_groups` says of it, and the `dns_backends` that name it.
struct GroupDraft {
  let name: GroupName
  /// Where its name stands.
  let position: Position
  var declaration: GroupDeclaration
  var dns: [Located<DNSBackendDeclaration>] = []
  /// Whether `failover_groups` has it.
  var isDeclared = false
  /// The file gives it no member, and has entries that DNS may move here.
  var isLeftToDNS = false
  /// An earlier run made it, and it may have lost its primary, or everybody, since.
  var isRemembered = false

  /// Whether the names of its entries say all there is to say of it: nothing needs to be kept of such a group but its entries.
  var isMadeOfNames: Bool { !isDeclared && dns.allSatisfy { $0.value.entry != nil } }

  /// All groups of a file: those of `failover_groups`, then those that only `dns_backends` name, each in the order of the file.
  /// `free` are the entries that DNS puts into a group, by `group_name` in their TXT strings.
  static func all(in declarations: Declarations, reader: Reader) -> (drafts: [GroupDraft], free: [DNSBackendDeclaration]) {
    var drafts: [GroupDraft] = []
    var free: [DNSBackendDeclaration] = []
    var freeEndpoints: [MemberSource.Origin: Position] = [:]
    var indices: [GroupName: Int] = [:]
    var listed: Set<DomainName> = []
    for group in declarations.groups.map(\.value) {
      listed.formUnion(group.backends.map { domain(of: $0.value) })
      guard let name = group.name else { continue }
      if let first = indices[name.value] {
        reader.error(
          "the group \(quoted(name.value.rawValue)) is already declared (\(drafts[first].position))", "choose another name",
          at: name.position)
        continue
      }
      indices[name.value] = drafts.count
      drafts.append(GroupDraft(name: name.value, position: name.position, declaration: group, isDeclared: true))
    }
    for entry in declarations.dnsBackends {
      if entry.value.readsText, entry.value.group == nil, let domain = entry.value.domain, !listed.contains(domain) {
        free.append(entry.value)
        guard let dnsEntry = entry.value.entry else { continue }
        let endpoint = Candidate(dnsEntry, number: entry.value.number).endpoint
        if let first = freeEndpoints[endpoint] {
          reader.error(
            "\(quoted(domain.rawValue)) is already declared\(dnsEntry.record == .srv ? "" : " with this port") (\(first))",
            "remove one of the entries", at: entry.position)
        }
        freeEndpoints[endpoint] = freeEndpoints[endpoint] ?? entry.position
        continue
      }
      let name = entry.value.group?.value ?? entry.value.ownGroup
      if let index = indices[name] {
        drafts[index].dns.append(entry)
        continue
      }
      // An endpoint that a group lists belongs to that group, and to one of its own only when it says so.
      if entry.value.group == nil, listed.contains(DomainName(name.rawValue)) { continue }
      if entry.value.group == nil, let mark = entry.value.isPrimary, mark.value {
        reader.warning("'is_primary' has no effect without a group", "add group_name, or remove it", at: mark.position)
      }
      indices[name] = drafts.count
      let place = entry.value.group?.position ?? entry.position
      drafts.append(GroupDraft(name: name, position: place, declaration: .defaults, dns: [entry]))
    }
    for index in drafts.indices where !free.isEmpty && drafts[index].dns.isEmpty {
      drafts[index].isLeftToDNS = drafts[index].declaration.omitted.contains(.backends)
    }
    return (drafts, free)
  }

  /// The domain in `name` and in `name:port`; anything else gives a name that nobody declares.
  private static func domain(of reference: String) -> DomainName {
    if let colon = reference.lastIndex(of: ":"), portNumber(reference[reference.index(after: colon)...]) != nil {
      return DomainName(String(reference[..<colon]))
    }
    return DomainName(reference)
  }
}
