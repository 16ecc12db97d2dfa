import Model

/// The file's part of a topology: its groups, its entries and its backends. It never changes, and every copy of a topology shares it.
///
/// There may be ten thousand entries, each a group of its own. Nothing is kept of such a group but its entry: the rest follows from it.
final class FileTopology: Sendable {
  enum Placement: UInt8, Sendable {
    /// In the groups whose frames name it; in none when there are none.
    case framed
    /// In the group that its `group_name` or its own name says, of which nothing else is declared.
    case settled
    /// In the group that DNS says.
    case open
  }

  /// What refusals call the file.
  let file: String
  /// In the order of the file.
  private let order: [GroupFrame]
  let frames: [GroupName: GroupFrame]
  /// By number.
  let entries: [DNSEntry]
  let placements: [Placement]
  /// The groups whose frames name an entry.
  let framesOfEntry: [Int: [GroupName]]
  let backends: [BackendID: BackendSpecification]
  /// The numbers of all entries by domain, and those of the settled ones by group: sorted lists take a tenth of what dictionaries take.
  private let byDomain: [Int32]
  private let byGroup: [Int32]

  init(
    file: String, frames: [GroupFrame], entries: [DNSEntry], settled: Set<Int>, open: Set<Int>,
    backends: [BackendID: BackendSpecification]
  ) {
    self.file = file
    self.entries = entries
    self.backends = backends
    order = frames
    self.frames = Dictionary(frames.map { ($0.name, $0) }) { first, _ in first }
    var framesOfEntry: [Int: [GroupName]] = [:]
    for frame in frames {
      for case let number? in frame.members.map(\.entry) { framesOfEntry[number, default: []].append(frame.name) }
    }
    self.framesOfEntry = framesOfEntry
    placements = entries.indices.map { settled.contains($0) ? .settled : open.contains($0) ? .open : .framed }
    byDomain = Self.sorted(Array(entries.indices)) { entries[$0].domain.rawValue }
    byGroup = Self.sorted(settled.filter(entries.indices.contains)) { entries[$0].statedGroup.rawValue }
  }

  /// All groups that the file makes: those of `failover_groups`, then those that `dns_backends` name, each in the order of the file.
  var groups: [GroupName] {
    var names: [GroupName] = []
    var seen: Set<GroupName> = []
    var frames = order[...]
    for (number, entry) in entries.enumerated() where placements[number] == .settled {
      while let frame = frames.first, (frame.place ?? 0) <= number { names.append(frames.removeFirst().name) }
      if seen.insert(entry.statedGroup).inserted { names.append(entry.statedGroup) }
    }
    return names + frames.map(\.name)
  }

  /// The entries of a domain, in the order of the file.
  func numbers(of domain: DomainName) -> [Int] { find(domain.rawValue, in: byDomain) { entries[$0].domain.rawValue } }

  /// The settled entries of a group, in the order of the file.
  func numbers(settledIn group: GroupName) -> [Int] { find(group.rawValue, in: byGroup) { entries[$0].statedGroup.rawValue } }

  private static func sorted(_ numbers: some Collection<Int>, by name: (Int) -> String) -> [Int32] {
    let named = numbers.map { (name: name($0), number: Int32($0)) }
    return named.sorted { $0 < $1 }.map(\.number)
  }

  private func find(_ name: String, in numbers: [Int32], by nameOf: (Int) -> String) -> [Int] {
    var (low, high) = (0, numbers.count)
    while low < high {
      let middle = (low + high) / 2
      if nameOf(Int(numbers[middle])) < name { low = middle + 1 } else { high = middle }
    }
    var found: [Int] = []
    while low < numbers.count, nameOf(Int(numbers[low])) == name {
      found.append(Int(numbers[low]))
      low += 1
    }
    return found
  }
}

extension DNSEntry {
  /// The group it is in as far as the entry itself says.
  var statedGroup: GroupName { group ?? GroupName(domain.rawValue) }
}
