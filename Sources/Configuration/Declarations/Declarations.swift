import Model

/// A file as it was written: every value is right by itself, nothing is compared with anything else yet.
///
/// What could not be read is nil or left out, and reported. The resolution still runs, to find what else is wrong.
struct Declarations: Sendable {
  var zone: String?
  var engine: EngineChoice
  var workers: Int
  var stateDirectory: String
  var resolver: ResolverSettings
  var backends: [Located<BackendDeclaration>]
  var dnsBackends: [Located<DNSBackendDeclaration>]
  var groups: [Located<GroupDeclaration>]
  /// Nil when the file leaves listeners to us.
  var listeners: [Located<ListenerDeclaration>]?
  var maintenance: [Located<MaintenanceDeclaration>]
  var api: Located<SocketAddress>
}

extension Format<Declarations> {
  static var file: Self {
    .mapping(.other) { map in
      let strings = map.value("dns_backend_strings", .list(of: .dnsBackendString))?.value ?? []
      let named = map.value("dns_backends", .list(of: .dnsBackend(origin: .file)))?.value ?? []
      let hasListeners = map.has("listeners")
      let listeners = map.value("listeners", .list(of: .listener))?.value ?? []
      _ = map.value("api_security", .apiSecurity)
      return Declarations(
        zone: map.value("zone", .string)?.value,
        engine: map.value("engine", .choice("an engine"))?.value ?? .auto,
        workers: map.value("workers", .integer(1...128))?.value ?? 1,
        stateDirectory: map.value("state_directory", .string)?.value ?? "./.leba",
        resolver: map.value("dns_resolver", .resolver)?.value ?? ResolverSettings(),
        backends: map.value("backends", .list(of: .backend))?.value ?? [],
        dnsBackends: numbered((named + strings).sorted { $0.position < $1.position }),
        groups: map.value("failover_groups", .list(of: .group))?.value ?? [],
        listeners: hasListeners ? listeners : nil,
        maintenance: map.value("maintenance", .list(of: .maintenance))?.value ?? [],
        api: apiAddress(map))
    }
  }

  /// Addresses are fixed backends and no entries: they have the number of the entry that follows.
  private static func numbered(_ items: [Located<DNSBackendDeclaration>]) -> [Located<DNSBackendDeclaration>] {
    var items = items
    var next = 0
    for index in items.indices {
      items[index].value.number = next
      if items[index].value.entry != nil { next += 1 }
    }
    return items
  }
}
