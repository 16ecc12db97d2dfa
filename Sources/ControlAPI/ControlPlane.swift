package import Failover
package import LebaConfiguration
package import Model

/// What the API needs of the process it controls. The sidecar implements it on top of its control loop, so that every answer is
/// consistent and every request takes its place in the one order of events.
package protocol ControlPlane: Sendable {
  func view() async -> ControlView
  func status() async -> StatusView
  /// Sessions in being, per member.
  func activeConnections() async -> [MemberKey: Int]
  /// Metrics of the data path, of discovery and of the probes.
  func metrics() async -> [MetricFamily]

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError)

  func dnsStatus() async -> DNSStatusView
  /// Asks for an early lookup of one name, or of all. Returns those concerned.
  func refreshDNS(_ domain: DomainName?, dryRun: Bool) async throws(ControlError) -> [DomainName]
  func dnsEntries() async -> [DNSEntry]
  func addDNSEntry(_ request: DNSEntryRequest, dryRun: Bool) async throws(ControlError) -> DNSEntry
  func removeDNSEntry(_ domain: DomainName, dryRun: Bool) async throws(ControlError)
}

/// One consistent look at the engine.
package struct ControlView: Sendable {
  package let now: Instant
  package let groups: [GroupSnapshot]
  package let history: DecisionHistory

  package init(now: Instant, groups: [GroupSnapshot], history: DecisionHistory) {
    self.now = now
    self.groups = groups
    self.history = history
  }
}

package enum ControlError: Error, Sendable {
  case command(CommandError)
  case dnsEntry(DNSEntryRefusal)
  /// The request is well-formed and makes no sense; says why.
  case invalid(String)
}

/// The body of `POST /groups`.
package struct GroupRequest: Sendable, Decodable {
  package let name: String
  package let mode: String
  package let backends: [String]
  package let primary: String?
}

/// The body of `POST /groups/{name}/primary`.
package struct PrimaryRequest: Sendable, Decodable {
  package let backend: String
  package let force: Bool
  package let pin: Bool

  private enum CodingKeys: String, CodingKey {
    case backend = "backend_id"
    case force, pin
  }

  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    backend = try values.decode(String.self, forKey: .backend)
    force = try values.decodeIfPresent(Bool.self, forKey: .force) ?? false
    pin = try values.decodeIfPresent(Bool.self, forKey: .pin) ?? false
  }
}

/// The answer of `GET /status`.
package struct StatusView: Sendable, Encodable {
  package enum State: String, Sendable, Encodable {
    case starting, ready, draining
  }

  package struct Listener: Sendable, Encodable {
    package let name: String
    package let address: String
    package let group: String
    package let role: String
    package let activeConnections: Int

    package init(name: String, address: String, group: String, role: String, activeConnections: Int) {
      self.name = name
      self.address = address
      self.group = group
      self.role = role
      self.activeConnections = activeConnections
    }
  }

  package struct Domain: Sendable, Encodable {
    package let domain: String
    package let outcome: String
    package let addresses: [String]
    package let ageSeconds: Double?

    package init(domain: String, outcome: String, addresses: [String], ageSeconds: Double?) {
      self.domain = domain
      self.outcome = outcome
      self.addresses = addresses
      self.ageSeconds = ageSeconds
    }
  }

  /// Where state is kept over a restart, or why it is not.
  package struct Journal: Sendable, Encodable {
    package let path: String?
    package let problem: String?

    package init(path: String?, problem: String?) {
      self.path = path
      self.problem = problem
    }
  }

  package let state: State
  package let version: String
  package let uptimeSeconds: Double
  package let engine: String
  package let connectionLimit: Int
  package let zone: String?
  package let configurationFile: String
  package let listeners: [Listener]
  package let domains: [Domain]
  package let journal: Journal

  package init(
    state: State, version: String, uptimeSeconds: Double, engine: String, connectionLimit: Int, zone: String?,
    configurationFile: String, listeners: [Listener], domains: [Domain], journal: Journal
  ) {
    self.state = state
    self.version = version
    self.uptimeSeconds = uptimeSeconds
    self.engine = engine
    self.connectionLimit = connectionLimit
    self.zone = zone
    self.configurationFile = configurationFile
    self.listeners = listeners
    self.domains = domains
    self.journal = journal
  }
}
