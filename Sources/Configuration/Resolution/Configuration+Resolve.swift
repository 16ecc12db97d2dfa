import Model
import Yams

extension Configuration {
  /// From the tree of a file to a value; nil when the reader has recorded why not.
  static func resolve(_ root: Node, with reader: Reader) -> Configuration? {
    guard let declarations = Format<Declarations>.file.read(Value(node: root, name: "the file", reader: reader)) else { return nil }
    let directory = Directory(declarations, reader: reader)
    checkRecords(declarations.dnsBackends, reader: reader)
    let (drafts, free) = GroupDraft.all(in: declarations, reader: reader)
    let topology = Topology(fileTopology(declarations, drafts, free: free, directory: directory, reader: reader))
    let groups = topology.groups

    var listening = ListenerResolution(groups: groups, drafts: drafts, free: free, declarations: declarations, reader: reader)
    if let listeners = declarations.listeners { listening.add(listeners) } else { listening.addDefaults() }
    let maintenance = windows(declarations.maintenance, directory: directory, groups: groups, reader: reader)

    guard !reader.hasErrors else { return nil }
    warnOfUnused(declarations.backends, groups: groups, reader: reader)
    if drafts.isEmpty, free.isEmpty {
      reader.warning("there is no group, so nothing is forwarded", "declare one under failover_groups or dns_backends", at: .start)
    }
    return Configuration(
      zone: declarations.zone, engine: declarations.engine, workers: declarations.workers,
      stateDirectory: declarations.stateDirectory, listeners: listening.listeners, declaresListeners: declarations.listeners != nil,
      resolver: declarations.resolver, topology: topology, apiAddress: declarations.api.value, maintenance: maintenance,
      warnings: reader.diagnostics)
  }

  /// What outlives the resolution. All drafts are built, to find what is wrong with them; what only names make is not kept.
  private static func fileTopology(
    _ declarations: Declarations, _ drafts: [GroupDraft], free: [DNSBackendDeclaration], directory: Directory, reader: Reader
  ) -> FileTopology {
    let settings = SharedSettings.Pool()
    var frames: [GroupFrame] = []
    var settled: Set<Int> = []
    for draft in drafts {
      let frame = draft.build(from: directory, settings: settings, reader: reader)
      if draft.isMadeOfNames {
        settled.formUnion(draft.dns.map(\.value.number))
      } else if let frame {
        frames.append(frame)
      }
    }
    let backends = declarations.backends.compactMap(\.value.specification).map { ($0.id, $0) }
    return FileTopology(
      file: reader.file, frames: frames, entries: declarations.dnsBackends.compactMap(\.value.entry), settled: settled,
      open: Set(free.map(\.number)), backends: Dictionary(backends) { first, _ in first })
  }

  private static func windows(
    _ declarations: [Located<MaintenanceDeclaration>], directory: Directory, groups: [GroupSpecification], reader: Reader
  ) -> [MaintenanceWindow] {
    var resolution = MaintenanceResolution(directory: directory, groups: groups, reader: reader)
    return declarations.compactMap { resolution.window($0, isConfigured: true) }
  }

  /// A name is asked for one kind of records, whatever the number of entries.
  private static func checkRecords(_ entries: [Located<DNSBackendDeclaration>], reader: Reader) {
    var first: [DomainName: Located<RecordKind>] = [:]
    for entry in entries {
      guard let domain = entry.value.domain else { continue }
      guard let other = first[domain] else {
        first[domain] = entry.map(\.record)
        continue
      }
      guard other.value != entry.value.record else { continue }
      reader.error(
        "\(quoted(domain.rawValue)) has record: \(entry.value.record.rawValue) here and \(other.value.rawValue) at \(other.position)",
        "use the same for all entries of a domain", at: entry.position)
    }
  }

  private static func warnOfUnused(_ backends: [Located<BackendDeclaration>], groups: [GroupSpecification], reader: Reader) {
    var used: Set<BackendID> = []
    for case .fixed(let id, _) in groups.flatMap(\.members).map(\.origin) { used.insert(id) }
    for case let id? in backends.map(\.value.id) where !used.contains(id.value) {
      reader.warning(
        "no group uses the backend \(quoted(id.value.rawValue))", "name it in the backends of a group, or remove it",
        at: id.position)
    }
  }
}
