import Model
import Yams

extension Configuration {
  /// From the tree of a file to a value; nil when the reader has recorded why not.
  static func resolve(_ root: Node, with reader: Reader) -> Configuration? {
    guard let declarations = Format<Declarations>.file.read(Value(node: root, name: "the file", reader: reader)) else { return nil }
    let directory = Directory(declarations, reader: reader)
    let drafts = GroupDraft.all(in: declarations, reader: reader)
    let groups = drafts.compactMap { $0.build(from: directory, reader: reader) }

    var listening = ListenerResolution(groups: groups, drafts: drafts, declarations: declarations, reader: reader)
    if let listeners = declarations.listeners { listening.add(listeners) } else { listening.addDefaults() }

    guard !reader.hasErrors else { return nil }
    let backends = Dictionary(declarations.backends.compactMap(specification)) { first, _ in first }
    warnOfUnused(declarations.backends, groups: groups, reader: reader)
    if drafts.isEmpty {
      reader.warning("there is no group, so nothing is forwarded", "declare one under failover_groups or dns_backends", at: .start)
    }
    return Configuration(
      zone: declarations.zone, engine: declarations.engine, workers: declarations.workers,
      stateDirectory: declarations.stateDirectory, listeners: listening.listeners, declaresListeners: declarations.listeners != nil,
      resolver: declarations.resolver,
      domains: domains(declarations.dnsBackends.map(\.value)), groups: groups, apiAddress: declarations.api.value,
      backends: backends, warnings: reader.diagnostics, directory: directory)
  }

  private static func specification(_ backend: Located<BackendDeclaration>) -> (BackendID, BackendSpecification)? {
    guard let id = backend.value.id?.value, let address = backend.value.address else { return nil }
    let value = backend.value
    return (id, BackendSpecification(id: id, address: address, proto: value.proto, weight: value.weight, zone: value.zone))
  }

  /// Entries that share a domain share its lookups, with the strictest bounds of all.
  private static func domains(_ entries: [DNSBackendDeclaration]) -> [DomainSpecification] {
    var domains: [DomainSpecification] = []
    var indices: [DomainName: Int] = [:]
    for entry in entries {
      guard case .domain(let domain, let port) = entry.host else { continue }
      let index = indices[domain] ?? domains.count
      if index == domains.count {
        indices[domain] = index
        domains.append(DomainSpecification(domain: domain, lookupTimeout: entry.lookupTimeout))
      }
      domains[index].ports.insert(port)
      domains[index].lookupTimeout = min(domains[index].lookupTimeout, entry.lookupTimeout)
      domains[index].maximumInterval = smaller(domains[index].maximumInterval, entry.maximumInterval)
      domains[index].ttl = smaller(domains[index].ttl, entry.ttl)
    }
    return domains
  }

  private static func smaller(_ a: Duration?, _ b: Duration?) -> Duration? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
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
