import Model
import Yams

extension Configuration {
  /// From the tree of a file to a value; nil when the reader has recorded why not.
  static func resolve(_ root: Node, with reader: Reader) -> Configuration? {
    guard let declarations = Format<Declarations>.file.read(Value(node: root, name: "the file", reader: reader)) else { return nil }
    let directory = Directory(declarations, reader: reader)
    checkRecords(declarations.dnsBackends, reader: reader)
    let (drafts, free) = GroupDraft.all(in: declarations, reader: reader)
    let topology = Topology(
      file: reader.file, frames: drafts.compactMap { $0.build(from: directory, reader: reader) },
      entries: declarations.dnsBackends.map(\.value), free: Set(free.map(\.number)), directory: directory)
    let groups = topology.groups

    var listening = ListenerResolution(groups: groups, drafts: drafts, free: free, declarations: declarations, reader: reader)
    if let listeners = declarations.listeners { listening.add(listeners) } else { listening.addDefaults() }

    guard !reader.hasErrors else { return nil }
    let backends = Dictionary(declarations.backends.compactMap(specification)) { first, _ in first }
    warnOfUnused(declarations.backends, groups: groups, reader: reader)
    if drafts.isEmpty, free.isEmpty {
      reader.warning("there is no group, so nothing is forwarded", "declare one under failover_groups or dns_backends", at: .start)
    }
    return Configuration(
      zone: declarations.zone, engine: declarations.engine, workers: declarations.workers,
      stateDirectory: declarations.stateDirectory, listeners: listening.listeners, declaresListeners: declarations.listeners != nil,
      resolver: declarations.resolver, topology: topology, apiAddress: declarations.api.value, backends: backends,
      warnings: reader.diagnostics)
  }

  private static func specification(_ backend: Located<BackendDeclaration>) -> (BackendID, BackendSpecification)? {
    guard let id = backend.value.id?.value, let address = backend.value.address else { return nil }
    let value = backend.value
    return (id, BackendSpecification(id: id, address: address, proto: value.proto, weight: value.weight, zone: value.zone))
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
