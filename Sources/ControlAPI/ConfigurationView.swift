import LebaConfiguration
import Model

/// The answer of `GET /config`: the effective configuration under the keys of the file, secrets masked.
struct ConfigurationView: Encodable {
  struct Listener: Encodable {
    let name: String
    let address: String
    let group: String
    let role: String
    let idleTimeout: String?
    let maximumDuration: String?
    let maximumConnections: Int?
  }

  struct Backend: Encodable {
    let id: String
    let address: String
    let port: UInt16?
    let `protocol`: String
    let weight: Int
    let zone: String?
  }

  struct Resolver: Encodable {
    let servers: [String]
    let timeout: String
    let retryAttempts: Int
    let minimumTtl: String
    let maximumTtl: String
    let negativeTtl: String
    let holdRemoved: String
    let allowedCidrs: [String]
  }

  struct Window: Encodable {
    let id: String
    let backend: String
    let start: String
    let duration: String
    let `repeat`: String?
    let preDrain: String
  }

  struct API: Encodable {
    let address: String
  }

  let zone: String?
  let engine: String
  let workers: Int
  let stateDirectory: String
  /// Empty where the file leaves it to each group; then see `GET /status`.
  let listeners: [Listener]
  let dnsResolver: Resolver
  let dnsBackends: [DNSEntryView]
  let backends: [Backend]
  let failoverGroups: [GroupView]
  let maintenance: [Window]
  let api: API

  init(_ configuration: Configuration, windows: [MaintenanceWindow]) {
    zone = configuration.zone
    engine = configuration.engine.rawValue
    workers = configuration.workers
    stateDirectory = configuration.stateDirectory
    listeners = configuration.listeners.map {
      Listener(
        name: $0.name.rawValue, address: $0.address.description, group: $0.group.rawValue, role: $0.role.rawValue,
        idleTimeout: $0.limits.idleTimeout?.text, maximumDuration: $0.limits.maximumDuration?.text,
        maximumConnections: $0.limits.maximumConnections)
    }
    dnsResolver = Resolver(configuration.resolver)
    dnsBackends = configuration.topology.entries.map(DNSEntryView.init)
    backends = configuration.backends.sorted { $0.id < $1.id }.map {
      Backend(
        id: $0.id.rawValue, address: $0.address.host, port: $0.address.port, protocol: $0.proto.rawValue, weight: $0.weight,
        zone: $0.zone)
    }
    failoverGroups = configuration.groups.map(GroupView.init)
    maintenance = windows.map {
      Window(
        id: $0.id, backend: $0.backend.rawValue, start: $0.start.text, duration: $0.duration.text,
        repeat: $0.repetition?.rawValue, preDrain: $0.preDrain.text)
    }
    api = API(address: configuration.apiAddress.description)
  }
}

extension ConfigurationView.Resolver {
  init(_ settings: ResolverSettings) {
    self.init(
      servers: settings.servers.map(\.description), timeout: settings.timeout.text, retryAttempts: settings.retryAttempts,
      minimumTtl: settings.minimumTTL.text, maximumTtl: settings.maximumTTL.text, negativeTtl: settings.negativeTTL.text,
      holdRemoved: settings.holdRemoved.text, allowedCidrs: settings.allowedRanges.map { "\($0)" })
  }
}

extension ConfigurationView {
  struct GroupView: Encodable {
    struct Predictive: Encodable {
      let degradeBelow: Int?
      let ejectBelow: Int?
    }

    struct Limit: Encodable {
      let count: Int
      let within: String
    }

    struct Member: Encodable {
      /// One of the two.
      let backend: String?
      let domain: String?
      let address: String?
      let `protocol`: String
      let weight: Int?
      let zone: String?
      let isPrimary: Bool
      let healthCheck: HealthCheckView
    }

    let name: String
    let mode: String
    let backends: [Member]
    let balance: String
    let failback: String
    let failbackAfter: String?
    let minimumInterval: String
    let maximumFailovers: Limit?
    let pin: Bool
    let zoneAffinity: Bool
    let slowStart: String
    let predictive: Predictive?
    let shadow: Bool
    let holdTimeout: String
    let drainTimeout: String
    let maximumConnections: Int?
    let connectHedge: String
    let proxyProtocol: String?
    let allowedCidrs: [String]

    init(_ group: GroupSpecification) {
      name = group.name.rawValue
      mode = group.mode.rawValue
      backends = group.members.map(Member.init)
      balance = group.balance.rawValue
      switch group.failback {
      case .manual: (failback, failbackAfter) = ("manual", nil)
      case .automatic(let after): (failback, failbackAfter) = ("automatic", after.text)
      }
      minimumInterval = group.minimumInterval.text
      maximumFailovers = group.maximumFailovers.map { Limit(count: $0.count, within: $0.within.text) }
      pin = group.pin
      zoneAffinity = group.zoneAffinity
      slowStart = group.slowStart.text
      predictive = group.predictive.map { Predictive(degradeBelow: $0.degradeBelow, ejectBelow: $0.ejectBelow) }
      shadow = group.shadow
      holdTimeout = group.holdTimeout.text
      drainTimeout = group.drainTimeout.text
      maximumConnections = group.connections.maximum
      connectHedge = group.connections.hedge.text
      proxyProtocol = group.connections.proxyProtocol?.rawValue
      allowedCidrs = group.allowedRanges.map { "\($0)" }
    }
  }
}

extension ConfigurationView.GroupView.Member {
  init(_ source: MemberSource) {
    let check = HealthCheckView(source.check)
    switch source.origin {
    case .fixed(let id, let address):
      self.init(
        backend: id.rawValue, domain: nil, address: address.description, protocol: source.proto.rawValue, weight: source.weight,
        zone: source.zone, isPrimary: source.isPrimary, healthCheck: check)
    case .domain(let domain, _):
      self.init(
        backend: nil, domain: domain.rawValue, address: nil, protocol: source.proto.rawValue, weight: source.weight,
        zone: source.zone, isPrimary: source.isPrimary, healthCheck: check)
    }
  }
}
