import Model

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
      if indices[candidate.endpoint] != nil {
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
    if let known = indices[candidate.endpoint] {
      if known.isListed {
        // The group may list it as well, to give it a place in the order.
        indices[candidate.endpoint]?.isListed = false
        if let mark = entry.value.isPrimary, mark.value { self.mark(known.index, at: mark.position) }
      } else {
        reader.error(
          "\(quoted(candidate.label)) is already in the group \(quoted(group.rawValue))\(candidate.record == .srv ? "" : " with this port")",
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
    indices[candidate.endpoint] = (candidates.count, isListed)
    candidates.append(candidate)
    if candidate.isPrimary { mark(candidates.count - 1, at: position) }
  }

  private mutating func mark(_ index: Int, at position: Position) {
    candidates[index].isPrimary = true
    // Several endpoints of one name are several candidates for the same place; two names are a contradiction.
    guard let first = marked else {
      marked = Located(index, at: position)
      return
    }
    let label = candidates[first.value].label
    guard label != candidates[index].label else { return }
    reader.error(
      "the group \(quoted(group.rawValue)) has a second primary; the first is \(quoted(label)) (\(first.position))",
      "mark one of them with is_primary: false", at: position)
  }

  func refusal(of primary: Located<String>) -> Complaint {
    let problem = "the primary \(quoted(primary.value)) is not one of the group's backends"
    guard reader.hasRoom, let nearest = nearestName(to: primary.value, among: candidates.map(\.label)) else {
      return Complaint(problem, "add it to backends")
    }
    return Complaint(problem, "the nearest one is '\(nearest)'; or add it to backends")
  }
}
