package import Model

/// A topology of a file that was read again, with what an earlier one has learned.
package struct AdoptedTopology: Sendable {
  package var topology: Topology
  /// What was made through the API and cannot stay beside the new file: the file wins.
  package var entries: [RefusedEntry]
  package var backends: [RefusedBackend]

  package struct RefusedEntry: Hashable, Sendable {
    package let domain: DomainName
    package let refusal: DNSEntryRefusal
  }

  package struct RefusedBackend: Hashable, Sendable {
    package let backend: BackendID
    package let refusal: BackendRefusal
  }
}

extension Topology {
  /// This topology, fresh from a file, with what DNS has said to the old one and what the API has added to it. A group whose description
  /// is the same in both files, and its names', is the same afterwards; `changed` says which are not.
  ///
  /// The counts of ineffective TXT strings go on; those that only the new file makes ineffective are counted when the strings change.
  package func adopting(_ old: Topology) -> AdoptedTopology {
    var new = self
    var entries: [AdoptedTopology.RefusedEntry] = []
    var backends: [AdoptedTopology.RefusedBackend] = []
    for backend in old.addedBackends.values.sorted(by: { $0.id < $1.id }) {
      if let refusal = new.refusal(of: backend) {
        backends.append(AdoptedTopology.RefusedBackend(backend: backend.id, refusal: refusal))
      } else {
        new.addedBackends[backend.id] = backend
      }
    }
    for (_, entry) in old.added.sorted(by: { $0.key < $1.key }) {
      if let refusal = new.refusal(of: entry) {
        entries.append(AdoptedTopology.RefusedEntry(domain: entry.domain, refusal: refusal))
      } else {
        let number = new.insert(entry)
        // So that the next one meets its primary.
        if let group = new.group(of: number) { new.join(group, number) }
      }
    }
    let readers = Set((new.declared.entries.lazy + Array(new.added.values)).filter(\.readsText).map(\.domain))
    new.texts = old.texts.filter { readers.contains($0.key) }
    new.ignored = old.ignored.filter { readers.contains($0.key) }
    // A mark that DNS is moving right now is not lost; groups that are gone lose it when they are settled.
    new.marked = old.marked
    new.settle()
    new.changed = new.difference(from: old)
    return AdoptedTopology(topology: new, entries: entries, backends: backends)
  }

  /// The groups that are not the same in both.
  func difference(from old: Topology) -> Set<GroupName> {
    let before = Dictionary(old.groups.map { ($0.name, $0) }) { first, _ in first }
    var changed: Set<GroupName> = []
    var seen: Set<GroupName> = []
    for group in groups {
      seen.insert(group.name)
      if before[group.name] != group { changed.insert(group.name) }
    }
    return changed.union(before.keys.lazy.filter { !seen.contains($0) })
  }
}
