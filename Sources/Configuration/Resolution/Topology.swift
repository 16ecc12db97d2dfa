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
  /// The groups that the last `apply`, `add` or `remove` made, changed or dissolved.
  package internal(set) var changed: Set<GroupName> = []
  /// Keys of TXT strings that had no effect, counted each time a domain's strings change. Domains that are gone are not in it.
  package internal(set) var ignored: [DomainName: [IneffectiveText: Int]] = [:]

  let declared: FileTopology
  /// Entries made through the API, by number; the numbers of the file come first. A domain has one at most.
  var added: [Int: DNSEntry] = [:]
  var addedNumbers: [DomainName: Int] = [:]
  var nextNumber: Int
  var addedBackends: [BackendID: BackendSpecification] = [:]
  /// The entries of each group that are not settled by the file: the open ones and those made through the API, by number.
  private var residents: [GroupName: [Int]] = [:]
  /// What DNS said of a domain last. Once it was asked there is something, if only empty.
  var texts: [DomainName: TextAttributes] = [:]
  /// Groups of several members. Others are derived as quickly as looked up, and there are thousands.
  private var built: [GroupName: GroupSpecification] = [:]
  /// Groups in which DNS has marked a primary since they exist. While it moves the mark there may be none for a moment, and a group
  /// that became one of equals in that moment would send writes to replicas.
  var marked: Set<GroupName> = []

  init(_ declared: FileTopology) {
    self.declared = declared
    nextNumber = declared.entries.count
    settle()
  }

  /// All configured groups as they are now: the file's in its order, then those that DNS and the API made, by their first entry.
  package var groups: [GroupSpecification] {
    let names = declared.groups
    let seen = Set(names)
    let made = residents.filter { !seen.contains($0.key) }.sorted { ($0.value.first ?? 0) < ($1.value.first ?? 0) }
    return (names + made.map(\.key)).compactMap { self[$0] }
  }

  /// A group as it is now; nil when nobody is in it.
  package subscript(name: GroupName) -> GroupSpecification? { built[name] ?? derivation(of: name).specification }

  /// For `GET /dns/backends`: in the order of the file, then those of the API.
  package var entries: [DNSEntry] { declared.entries + added.sorted { $0.key < $1.key }.map(\.value) }

  /// What discovery has to watch: one for each distinct domain, in the order of its first entry.
  package var domains: [DomainSpecification] {
    var domains: [DomainSpecification] = []
    var places: [DomainName: Int] = [:]
    // One set for all that are equal.
    var ports: [UInt16: Set<UInt16>] = [:]
    for entry in entries {
      if let place = places[entry.domain] {
        domains[place].add(entry)
      } else {
        places[entry.domain] = domains.count
        var known: Set<UInt16> = []
        if entry.record == .address, let port = entry.port {
          known = ports[port] ?? [port]
          ports[port] = known
        }
        domains.append(DomainSpecification(entry, ports: known))
      }
    }
    return domains
  }

  /// Takes in what DNS says of a domain. Returns whether `groups` changed; `changed` says which.
  ///
  /// Nil, TXT was never answered, takes nothing back that was known: a failure never removes.
  package mutating func apply(_ attributes: TextAttributes?, for domain: DomainName) -> Bool {
    changed = []
    let known = texts[domain]
    let attributes = attributes ?? known ?? TextAttributes()
    if attributes == known { return false }
    let readers = numbers(of: domain).filter { entry($0)?.readsText == true }
    guard !readers.isEmpty else { return false }

    var ignored: Set<IneffectiveText> = []
    let checked = attributes.checked(&ignored)
    let moves = readers.map { (reader: $0, old: group(of: $0), new: group(of: $0, under: checked)) }
    var affected: Set<GroupName> = []
    for move in moves { affected.formUnion(framesOf(move.reader) + [move.old, move.new].compactMap(\.self)) }
    let derivations = change(affected) { topology in
      topology.texts[domain] = attributes
      for move in moves where move.old != move.new {
        if let old = move.old { topology.leave(old, move.reader) }
        if let new = move.new { topology.join(new, move.reader) }
      }
    }
    ignored.formUnion(ineffective(checked, readers, derivations))
    for text in ignored { self.ignored[domain, default: [:]][text, default: 0] += 1 }
    return !changed.isEmpty
  }

  func entry(_ number: Int) -> DNSEntry? {
    declared.entries.indices.contains(number) ? declared.entries[number] : added[number]
  }

  func numbers(of domain: DomainName) -> [Int] { addedNumbers[domain].map { [$0] } ?? declared.numbers(of: domain) }

  private func framesOf(_ number: Int) -> [GroupName] { declared.framesOfEntry[number] ?? [] }

  /// The group of a free entry; nil for one the file has placed, and for one that waits for DNS.
  func group(of number: Int) -> GroupName? {
    guard let entry = entry(number) else { return nil }
    return group(of: number, under: entry.readsText ? texts[entry.domain]?.checked : nil)
  }

  private func group(of number: Int, under text: TextAttributes?) -> GroupName? {
    guard let entry = entry(number) else { return nil }
    let isPlaced = declared.placements.indices.contains(number) && declared.placements[number] == .framed
    if isPlaced { return nil }
    if entry.group != nil || !entry.readsText { return entry.statedGroup }
    return text.map { $0.group ?? entry.statedGroup }
  }

  /// A settled entry needs no place: the file's order finds it.
  mutating func join(_ group: GroupName, _ number: Int) {
    let place = residents[group]?.firstIndex { $0 > number } ?? residents[group]?.count ?? 0
    residents[group, default: []].insert(number, at: place)
  }

  mutating func leave(_ group: GroupName, _ number: Int) {
    residents[group]?.removeAll { $0 == number }
    if residents[group]?.isEmpty == true { residents[group] = nil }
  }

  /// Makes a change, which can concern these groups only, and notes in `changed` which of them are others afterwards.
  @discardableResult
  mutating func change(_ names: Set<GroupName>, by body: (inout Topology) -> Void) -> [GroupName: GroupDerivation] {
    let before = names.map { ($0, self[$0]) }
    body(&self)
    changed = []
    var derivations: [GroupName: GroupDerivation] = [:]
    for (name, old) in before {
      let derivation = derivation(of: name)
      derivations[name] = derivation
      if note(derivation) != old { changed.insert(name) }
    }
    return derivations
  }

  /// Everything that follows from entries and texts, from nothing.
  mutating func settle() {
    residents = [:]
    built = [:]
    for number in declared.entries.indices where declared.placements[number] == .open {
      if let group = group(of: number) { join(group, number) }
    }
    for number in added.keys.sorted() {
      if let group = group(of: number) { join(group, number) }
    }
    let names = Set(declared.groups).union(residents.keys)
    for name in names { note(derivation(of: name)) }
  }

  @discardableResult
  private mutating func note(_ derivation: GroupDerivation) -> GroupSpecification? {
    let group = derivation.specification
    if group == nil { marked.remove(derivation.name) } else if derivation.isMarked { marked.insert(derivation.name) }
    if let group, group.members.count > 1 { built[derivation.name] = group } else { built[derivation.name] = nil }
    return group
  }

  func derivation(of name: GroupName) -> GroupDerivation {
    var seats: [GroupDerivation.Seat] = []
    let members = declared.frames[name]?.members ?? []
    let others = declared.numbers(settledIn: name) + (residents[name] ?? [])
    seats.reserveCapacity(members.count + others.count)
    // One needs no comparison, and most groups of a large file are one.
    var seen: Set<MemberSource.Origin> = []
    let mayRepeat = members.count + others.count > 1
    for candidate in members {
      seats.append(seat(candidate, isFromFile: true))
      if mayRepeat { seen.insert(candidate.endpoint) }
    }
    for number in others {
      guard let entry = entry(number) else { continue }
      let candidate = Candidate(entry, number: number)
      if !mayRepeat || seen.insert(candidate.endpoint).inserted { seats.append(seat(candidate, isFromFile: false)) }
    }
    return GroupDerivation(name: name, frame: declared.frames[name], seats: seats, wasMarked: marked.contains(name))
  }

  private func seat(_ candidate: Candidate, isFromFile: Bool) -> GroupDerivation.Seat {
    let entry = candidate.entry.flatMap(entry)
    let text = entry.flatMap { $0.readsText ? texts[$0.domain]?.checked : nil } ?? TextAttributes()
    return GroupDerivation.Seat(candidate: candidate, entry: entry, text: text, isFromFile: isFromFile)
  }

  /// The keys of a domain that changed nothing for any of its entries.
  private func ineffective(
    _ text: TextAttributes, _ readers: [Int], _ derivations: [GroupName: GroupDerivation]
  ) -> [IneffectiveText] {
    let seats = readers.flatMap { reader in
      (framesOf(reader) + [group(of: reader)].compactMap(\.self)).compactMap { name in
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
