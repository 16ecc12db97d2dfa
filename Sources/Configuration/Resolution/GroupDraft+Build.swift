import Model

extension GroupDraft {
  /// The group with its members, or nil when errors leave nothing of it.
  func build(from directory: Directory, reader: Reader) -> GroupSpecification? {
    var members = MemberList(group: name, reader: reader)
    for reference in declaration.backends {
      members.addListed(reference, from: directory)
    }
    for entry in dns {
      members.addDiscovered(entry, from: directory)
    }
    choosePrimary(of: &members, from: directory, reader: reader)
    let mode = mode(hasPrimary: members.hasPrimary, reader: reader)
    checkPresence(of: members, mode: mode, reader: reader)
    guard let mode else { return nil }
    return GroupSpecification(
      name: name, mode: mode,
      members: members.candidates.map { candidate in
        MemberSource(
          origin: candidate.origin, proto: candidate.proto, weight: candidate.weight, zone: candidate.zone,
          isPrimary: candidate.isPrimary, check: declaration.check.check(for: candidate.proto))
      },
      balance: declaration.balance, failback: declaration.failback, minimumInterval: declaration.minimumInterval,
      holdTimeout: declaration.holdTimeout, drainTimeout: declaration.drainTimeout)
  }

  private func mode(hasPrimary: Bool, reader: Reader) -> GroupMode? {
    guard declaration.omitted.contains(.mode) else { return declaration.mode?.value }
    guard !dns.isEmpty else {
      reader.error("'mode' is missing", "add mode: active-passive or mode: normal", at: position)
      return nil
    }
    // Without a group_name an entry is a group of equals.
    let named = dns.contains { $0.value.group != nil } || !declaration.omitted.contains(.backends)
    return named && hasPrimary ? .activePassive : .normal
  }

  /// `primary` and `is_primary` may both name it, but not two different ones.
  private func choosePrimary(of members: inout MemberList, from directory: Directory, reader: Reader) {
    guard let primary = declaration.primary else { return }
    let entry: Directory.Entry
    do {
      entry = try directory.entry(for: primary, in: name, reader: reader)
    } catch {
      // "Not declared" is less to the point than "not in this group", except for a name with several ports.
      if members.isComplete { reader.error(members.refusal(of: primary) ?? error, at: primary.position) }
      return
    }
    guard case .found(let candidate) = entry else { return }
    guard let index = members.candidates.firstIndex(where: { $0.origin == candidate.origin }) else {
      if members.isComplete, let refusal = members.refusal(of: primary) { reader.error(refusal, at: primary.position) }
      return
    }
    if let marked = members.marked, members.candidates[marked.value].label != candidate.label {
      reader.error(
        "'primary' names \(quoted(primary.value)), but dns_backends marks \(quoted(members.candidates[marked.value].label)) (\(marked.position))",
        "keep one of them", at: primary.position)
    }
    members.candidates[index].isPrimary = true
  }

  private func checkPresence(of members: MemberList, mode: GroupMode?, reader: Reader) {
    if members.candidates.isEmpty, dns.isEmpty {
      if declaration.omitted.contains(.backends) {
        reader.error("'backends' is missing", "add it, for example backends: [backend1, backend2]", at: position)
      } else if declaration.listsNothing {
        reader.error("the group \(quoted(name.rawValue)) has no backends", "list at least one", at: position)
      }
      return
    }
    guard mode == .activePassive, !members.hasPrimary, declaration.omitted.contains(.primary), members.isComplete else { return }
    let example = members.candidates.first.map { "primary: \($0.label)" } ?? "primary: NAME"
    reader.error(
      "the active-passive group \(quoted(name.rawValue)) has no primary", "add for example \(example)", at: position)
  }
}

/// The members of one group while they are collected, in the order of preference.
struct MemberList {
  let group: GroupName
  let reader: Reader
  var candidates: [Candidate] = []
  /// False once a member had to be left out because of an error of its own.
  private(set) var isComplete = true
  /// The member that `dns_backends` marks as primary, and where.
  private(set) var marked: Located<Int>?
  private var indices: [MemberSource.Origin: (index: Int, isListed: Bool)] = [:]
  private var labelsByAddress: [SocketAddress: String] = [:]

  init(group: GroupName, reader: Reader) {
    self.group = group
    self.reader = reader
  }

  var hasPrimary: Bool { candidates.contains(where: \.isPrimary) }

  /// From the `backends` of the group.
  mutating func addListed(_ reference: Located<String>, from directory: Directory) {
    do {
      guard case .found(let candidate) = try directory.entry(for: reference, in: group, reader: reader) else {
        isComplete = false
        return
      }
      if indices[candidate.origin] != nil {
        reader.error("\(quoted(reference.value)) is listed twice", "remove one of them", at: reference.position)
        return
      }
      append(candidate, isListed: true, at: reference.position)
    } catch {
      isComplete = false
      reader.error(error, at: reference.position)
    }
  }

  /// From `dns_backends`, by `group_name`.
  mutating func addDiscovered(_ entry: Located<DNSBackendDeclaration>, from directory: Directory) {
    guard let candidate = directory.candidate(of: entry.value) else {
      isComplete = false
      return
    }
    if let known = indices[candidate.origin] {
      if known.isListed {
        // The group may list it as well, to give it a place in the order.
        indices[candidate.origin]?.isListed = false
        if let mark = entry.value.isPrimary, mark.value { self.mark(known.index, at: mark.position) }
      } else {
        reader.error(
          "\(quoted(candidate.label)) is already in the group \(quoted(group.rawValue)) with this port",
          "remove one of the entries",
          at: entry.position)
      }
      return
    }
    append(candidate, isListed: false, at: entry.value.isPrimary?.position ?? entry.position)
  }

  private mutating func append(_ candidate: Candidate, isListed: Bool, at position: Position) {
    if case .fixed(let id, let address) = candidate.origin {
      if let other = labelsByAddress[address] {
        reader.error(
          "\(quoted(id.rawValue)) has the same address as \(quoted(other)) (\(address))", "keep one of them", at: position)
      }
      labelsByAddress[address] = id.rawValue
    }
    indices[candidate.origin] = (candidates.count, isListed)
    candidates.append(candidate)
    if candidate.isPrimary { mark(candidates.count - 1, at: position) }
  }

  private mutating func mark(_ index: Int, at position: Position) {
    candidates[index].isPrimary = true
    // Several endpoints of one name are several candidates for the same place; two names are a contradiction.
    if let first = marked, candidates[first.value].label != candidates[index].label {
      reader.error(
        "the group \(quoted(group.rawValue)) has a second primary; the first is \(quoted(candidates[first.value].label)) (\(first.position))",
        "mark one of them with is_primary: false", at: position)
      return
    }
    marked = marked ?? Located(index, at: position)
  }

  /// Why `primary` cannot be: nil when it is a member under a name that does not say which.
  func refusal(of primary: Located<String>) -> Complaint? {
    if candidates.contains(where: { $0.label == DomainName(primary.value).rawValue }) { return nil }
    let problem = "the primary \(quoted(primary.value)) is not one of the group's backends"
    guard reader.hasRoom, let nearest = nearestName(to: primary.value, among: candidates.map(\.label)) else {
      return Complaint(problem, "add it to backends")
    }
    return Complaint(problem, "the nearest one is '\(nearest)'; or add it to backends")
  }
}
