package import Model

/// Which groups there are and who is in them: what the file says, what DNS says of the names whose TXT strings are read, and what
/// was added through the API. A value; who holds it tells it what DNS says and passes on what became of it.
///
/// An entry is in the groups that the file puts it in (by `group_name`, or because they list it), whatever DNS says. One that the
/// file leaves free is in the group its TXT strings name, or else in one named after its domain; in none before DNS was asked.
///
/// The invariants: groups have unique names and members; a free entry is in one group at most; nothing that DNS says is an error.
/// A change costs what the groups it touches cost, not what all do.
package struct Topology: Sendable {
  final class Record: Sendable {
    let entry: DNSEntry
    /// Whether DNS, or the entry itself, says which group it is in, and not the file.
    let isFree: Bool

    init(entry: DNSEntry, isFree: Bool) {
      self.entry = entry
      self.isFree = isFree
    }
  }

  /// What discovery has to watch: one for each distinct domain, in the order of the file.
  package internal(set) var domains: [DomainSpecification] = []
  /// The groups that the last `apply`, `add` or `remove` made, changed or dissolved.
  package internal(set) var changed: Set<GroupName> = []
  /// Keys of TXT strings that had no effect, counted each time a domain's strings change. Domains that are gone are not in it.
  package internal(set) var ignored: [DomainName: [IneffectiveText: Int]] = [:]

  /// What its refusals call the file.
  let file: String
  var directory: Directory
  private let order: [GroupName]
  private let frames: [GroupName: GroupFrame]
  /// The groups that the file puts an entry in.
  private let placed: [Int: [GroupName]]
  /// By number: the order of the file, then that of the requests.
  var records: [Int: Record] = [:]
  var nextNumber: Int
  /// How many of them are the file's.
  let declared: Int
  var numbers: [DomainName: [Int]] = [:]
  /// The free entries of each group, by number.
  private var residents: [GroupName: [Int]] = [:]
  var texts: [DomainName: Text] = [:]
  private var built: [GroupName: GroupSpecification] = [:]
  /// Groups in which DNS has marked a primary since they exist. While it moves the mark there may be none for a moment, and a group
  /// that became one of equals in that moment would send writes to replicas.
  private var marked: Set<GroupName> = []

  /// What DNS said of a domain last. Once it was asked there is one, if only an empty one.
  struct Text: Sendable {
    var attributes: TextAttributes
    var checked: TextAttributes
  }

  init(file: String, frames: [GroupFrame], entries: [DNSBackendDeclaration], free: Set<Int>, directory: Directory) {
    self.file = file
    self.directory = directory
    nextNumber = entries.count
    order = frames.map(\.name)
    self.frames = Dictionary(frames.map { ($0.name, $0) }) { first, _ in first }
    var placed: [Int: [GroupName]] = [:]
    for frame in frames {
      for case let number? in frame.members.map(\.entry) { placed[number, default: []].append(frame.name) }
    }
    self.placed = placed
    declared = entries.count { $0.entry != nil }
    var places: [DomainName: Int] = [:]
    for declaration in entries {
      guard let entry = declaration.entry else { continue }
      records[declaration.number] = Record(entry: entry, isFree: free.contains(declaration.number))
      numbers[entry.domain, default: []].append(declaration.number)
      if let place = places[entry.domain] {
        domains[place].add(entry)
      } else {
        places[entry.domain] = domains.count
        domains.append(DomainSpecification(entry))
      }
    }
    for name in order { built[name] = derivation(of: name).specification }
  }

  /// All configured groups as they are now: the file's in its order, then those that DNS and the API made, by their first entry.
  package var groups: [GroupSpecification] {
    let made = residents.filter { frames[$0.key] == nil }.sorted { ($0.value.first ?? 0) < ($1.value.first ?? 0) }
    return (order + made.map(\.key)).compactMap { built[$0] }
  }

  /// A group as it is now; nil when nobody is in it.
  package subscript(name: GroupName) -> GroupSpecification? { built[name] }

  /// For `GET /dns/backends`: in the order of the file, then those of the API.
  package var entries: [DNSEntry] { records.sorted { $0.key < $1.key }.map(\.value.entry) }

  /// Takes in what DNS says of a domain. Returns whether `groups` changed; `changed` says which.
  ///
  /// Nil, TXT was never answered, takes nothing back that was known: a failure never removes.
  package mutating func apply(_ attributes: TextAttributes?, for domain: DomainName) -> Bool {
    changed = []
    let known = texts[domain]
    let attributes = attributes ?? known?.attributes ?? TextAttributes()
    if attributes == known?.attributes { return false }
    let readers = (numbers[domain] ?? []).filter { records[$0]?.entry.readsText == true }
    guard !readers.isEmpty else { return false }

    var ignored: Set<IneffectiveText> = []
    let before = readers.map(group)
    texts[domain] = Text(attributes: attributes, checked: attributes.checked(&ignored))
    var affected: Set<GroupName> = []
    for (reader, old) in zip(readers, before) {
      let new = group(of: reader)
      if old != new {
        if let old { leave(old, reader) }
        if let new { join(new, reader) }
      }
      affected.formUnion((placed[reader] ?? []) + [old, new].compactMap(\.self))
    }
    let derivations = rebuild(affected)
    ignored.formUnion(ineffective(readers, derivations))
    for text in ignored { self.ignored[domain, default: [:]][text, default: 0] += 1 }
    return !changed.isEmpty
  }

  /// The group of a free entry; nil for one the file has placed, and for one that waits for DNS.
  func group(of number: Int) -> GroupName? {
    guard let record = records[number], record.isFree else { return nil }
    let entry = record.entry
    if let stated = entry.group { return stated }
    let ownGroup = GroupName(entry.domain.rawValue)
    guard entry.readsText else { return ownGroup }
    return texts[entry.domain].map { $0.checked.group ?? ownGroup }
  }

  mutating func join(_ group: GroupName, _ number: Int) {
    let place = residents[group]?.firstIndex { $0 > number } ?? residents[group]?.count ?? 0
    residents[group, default: []].insert(number, at: place)
  }

  mutating func leave(_ group: GroupName, _ number: Int) {
    residents[group]?.removeAll { $0 == number }
    if residents[group]?.isEmpty == true { residents[group] = nil }
  }

  @discardableResult
  mutating func rebuild(_ names: Set<GroupName>) -> [GroupName: GroupDerivation] {
    var derivations: [GroupName: GroupDerivation] = [:]
    for name in names {
      let derivation = derivation(of: name)
      derivations[name] = derivation
      let group = derivation.specification
      if group == nil { marked.remove(name) } else if derivation.isMarked { marked.insert(name) }
      guard built[name] != group else { continue }
      built[name] = group
      changed.insert(name)
    }
    return derivations
  }

  func derivation(of name: GroupName) -> GroupDerivation {
    var seats: [GroupDerivation.Seat] = []
    var seen: Set<MemberSource.Origin> = []
    for candidate in frames[name]?.members ?? [] {
      seats.append(seat(candidate, isFromFile: true))
      seen.insert(candidate.endpoint)
    }
    for number in residents[name] ?? [] {
      guard let record = records[number] else { continue }
      let candidate = Candidate(record.entry, number: number)
      if seen.insert(candidate.endpoint).inserted { seats.append(seat(candidate, isFromFile: false)) }
    }
    return GroupDerivation(name: name, frame: frames[name], seats: seats, wasMarked: marked.contains(name))
  }

  private func seat(_ candidate: Candidate, isFromFile: Bool) -> GroupDerivation.Seat {
    let entry = candidate.entry.flatMap { records[$0]?.entry }
    let text = entry.flatMap { $0.readsText ? texts[$0.domain]?.checked : nil } ?? TextAttributes()
    return GroupDerivation.Seat(candidate: candidate, entry: entry, text: text, isFromFile: isFromFile)
  }

  /// The keys of a domain that changed nothing for any of its entries.
  private func ineffective(_ readers: [Int], _ derivations: [GroupName: GroupDerivation]) -> [IneffectiveText] {
    guard let domain = readers.first.flatMap({ records[$0]?.entry.domain }), let text = texts[domain]?.checked else { return [] }
    let seats = readers.flatMap { reader in
      ((placed[reader] ?? []) + [group(of: reader)].compactMap(\.self)).compactMap { name in
        derivations[name].map { derivation in (derivation, derivation.seats.first { $0.candidate.entry == reader }) }
      }
    }
    return text.keys.flatMap { key in
      // Who has no seat is in no group, because the group has the endpoint already.
      let obstacles = seats.map { derivation, seat in seat.map { derivation.obstacle(to: key, at: $0) } ?? .duplicate }
      if seats.isEmpty { return [IneffectiveText(key, .noEffect)] }
      return obstacles.contains(nil) ? [] : Set(obstacles.compactMap(\.self)).map { IneffectiveText(key, $0) }
    }
  }
}
