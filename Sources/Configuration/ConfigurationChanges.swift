package import Model

/// What differs between two configurations, for whoever carries a reload out and for whoever reads of it.
package struct ConfigurationChanges: Hashable, Sendable {
  /// What is fixed when the process starts.
  package enum Fixed: String, CaseIterable, Hashable, Sendable {
    case engine, workers
    case stateDirectory = "state_directory"
    case apiAddress = "api.address"
  }

  /// Names of one kind, each list sorted.
  package struct Names<Element: Name>: Hashable, Sendable {
    package var added: [Element] = []
    package var changed: [Element] = []
    package var removed: [Element] = []

    package var isEmpty: Bool { added.isEmpty && changed.isEmpty && removed.isEmpty }

    fileprivate init<Described: Hashable>(from old: [Element: Described], to new: [Element: Described]) {
      added = new.keys.filter { old[$0] == nil }.sorted()
      changed = new.filter { element in old[element.key].map { $0 != element.value } ?? false }.map(\.key).sorted()
      removed = old.keys.filter { new[$0] == nil }.sorted()
    }
  }

  /// What differs and counts only after a restart, in the order of the cases.
  package let needsRestart: [Fixed]
  package let groups: Names<GroupName>
  /// The same groups in another order.
  package let reordersGroups: Bool
  package let domains: Names<DomainName>
  package let backends: Names<BackendID>
  package let listeners: Names<ListenerName>
  /// Whether the file says who listens where, where before it did not, or the other way round.
  package let changesWhoDeclaresListeners: Bool
  package let windows: Bool
  package let resolver: Bool
  package let zone: Bool

  package var isEmpty: Bool { needsRestart.isEmpty && summary.isEmpty }

  /// One line for each kind of thing that differs and takes effect at once: `groups: 1 added, 2 changed`.
  package var summary: [String] {
    var lines = [line("groups", groups), line("domains", domains), line("backends", backends), line("listeners", listeners)]
      .compactMap(\.self)
    if groups.isEmpty, reordersGroups { lines.append("groups: in another order") }
    if listeners.isEmpty, changesWhoDeclaresListeners { lines.append("listeners: declared differently") }
    if windows { lines.append("maintenance: changed") }
    if resolver { lines.append("dns_resolver: changed") }
    if zone { lines.append("zone: changed") }
    return lines
  }

  private func line<Element>(_ kind: String, _ names: Names<Element>) -> String? {
    let parts = [(names.added, "added"), (names.changed, "changed"), (names.removed, "removed")]
      .filter { !$0.0.isEmpty }.map { "\($0.0.count) \($0.1)" }
    return parts.isEmpty ? nil : "\(kind): \(parts.joined(separator: ", "))"
  }
}

extension Configuration {
  /// What a reload has to carry out to get from `old` to this. For one of a process that runs, put its topology into `old`, and
  /// into this one what `Topology.adopting` makes of it.
  package func differences(from old: Configuration) -> ConfigurationChanges {
    var fixed: [ConfigurationChanges.Fixed] = []
    if engine != old.engine { fixed.append(.engine) }
    if workers != old.workers { fixed.append(.workers) }
    if stateDirectory != old.stateDirectory { fixed.append(.stateDirectory) }
    if apiAddress != old.apiAddress { fixed.append(.apiAddress) }
    let (groups, oldGroups) = (groups, old.groups)
    return ConfigurationChanges(
      needsRestart: fixed,
      groups: ConfigurationChanges.Names(from: byName(oldGroups, \.name), to: byName(groups, \.name)),
      reordersGroups: groups.map(\.name) != oldGroups.map(\.name),
      domains: ConfigurationChanges.Names(from: byName(old.domains, \.domain), to: byName(domains, \.domain)),
      backends: ConfigurationChanges.Names(from: byName(old.backends, \.id), to: byName(backends, \.id)),
      listeners: ConfigurationChanges.Names(from: byName(old.listeners, \.name), to: byName(listeners, \.name)),
      changesWhoDeclaresListeners: declaresListeners != old.declaresListeners, windows: maintenance != old.maintenance,
      resolver: resolver != old.resolver, zone: zone != old.zone)
  }

  private func byName<Key: Hashable, Element>(_ elements: [Element], _ name: KeyPath<Element, Key>) -> [Key: Element] {
    Dictionary(elements.map { ($0[keyPath: name], $0) }) { first, _ in first }
  }
}
