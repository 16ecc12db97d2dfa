import Model

extension GroupDraft {
  /// The group with its members, or nil when errors leave nothing of it.
  func build(from directory: Directory, settings: SharedSettings.Pool, reader: Reader) -> GroupFrame? {
    var members = MemberList(group: name, reader: reader)
    for reference in declaration.backends {
      members.addListed(reference, from: directory)
    }
    for entry in dns {
      members.addDiscovered(entry, from: directory)
    }
    choosePrimary(of: &members, from: directory, reader: reader)
    let isModeOpen = declaration.omitted.contains(.mode)
    if isModeOpen, dns.isEmpty, !isLeftToDNS {
      reader.error("'mode' is missing", "add mode: active-passive or mode: normal", at: position)
    }
    checkPresence(of: members, reader: reader)
    guard isModeOpen || declaration.mode != nil else { return nil }
    return GroupFrame(
      name: name, mode: declaration.mode?.value, settings: settings.shared(declaration.settings),
      // The frame outlives the resolution: no more room than needed.
      members: Array(members.candidates.lazy.map(\.self)),
      // Without a group_name an entry is a group of equals.
      isNamed: dns.contains { $0.value.group != nil } || !declaration.omitted.contains(.backends),
      place: isDeclared ? nil : dns.first?.value.number)
  }

  /// `primary` and `is_primary` may both name it, but not two different ones.
  private func choosePrimary(of members: inout MemberList, from directory: Directory, reader: Reader) {
    guard let primary = declaration.primary else { return }
    let entry: Directory.Entry
    do {
      entry = try directory.entry(for: primary, in: name, reader: reader)
    } catch {
      // "Not declared" is less to the point than "not in this group", except for a member whose name has several ports.
      let isMember = members.candidates.contains { $0.label == DomainName(primary.value).rawValue }
      if members.isComplete { reader.error(isMember ? error : members.refusal(of: primary), at: primary.position) }
      return
    }
    guard case .found(let candidate) = entry else { return }
    guard let index = members.candidates.firstIndex(where: { $0.endpoint == candidate.endpoint }) else {
      if members.isComplete { reader.error(members.refusal(of: primary), at: primary.position) }
      return
    }
    if let marked = members.marked {
      let other = members.candidates[marked.value].label
      if other != candidate.label {
        reader.error(
          "'primary' names \(quoted(primary.value)), but dns_backends marks \(quoted(other)) (\(marked.position))",
          "keep one of them", at: primary.position)
      }
    }
    members.candidates[index].isPrimary = true
  }

  private func checkPresence(of members: MemberList, reader: Reader) {
    if isLeftToDNS || isRemembered { return }
    if members.candidates.isEmpty, dns.isEmpty {
      if declaration.omitted.contains(.backends) {
        reader.error("'backends' is missing", "add it, for example backends: [backend1, backend2]", at: position)
      } else if declaration.listsNothing {
        reader.error("the group \(quoted(name.rawValue)) has no backends", "list at least one", at: position)
      }
      return
    }
    // An entry that is marked and could not be read is no member yet.
    let isMarked = members.hasPrimary || dns.contains { $0.value.isPrimary?.value == true }
    let hasLeader = isMarked || members.candidates.contains(where: \.mayLeadUnmarked)
    // Without a mode it is the primary that makes a group active-passive.
    guard declaration.mode?.value == .activePassive, !hasLeader, declaration.omitted.contains(.primary) else { return }
    let example = members.candidates.first.map { "primary: \($0.label)" } ?? "primary: NAME"
    reader.error(
      "the active-passive group \(quoted(name.rawValue)) has no primary", "add for example \(example)", at: position)
  }
}
