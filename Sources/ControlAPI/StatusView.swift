package import Model

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

  /// The configuration file, and how the last try to read it ended.
  package struct ConfigurationFile: Sendable, Encodable {
    package let file: String
    /// When what counts now was read.
    package let loadedAt: WallTime
    /// Why the file as it is now does not count; nil where it does.
    package let problem: String?

    package init(file: String, loadedAt: WallTime, problem: String?) {
      self.file = file
      self.loadedAt = loadedAt
      self.problem = problem
    }

    enum CodingKeys: String, CodingKey { case file, loadedAt, problem }

    package func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(file, forKey: .file)
      try values.encode(loadedAt.text, forKey: .loadedAt)
      try values.encode(problem, forKey: .problem)
    }
  }

  /// Where state and history are kept over a restart, or why they are not.
  package struct Journal: Sendable, Encodable {
    package let path: String?
    package let problem: String?
    /// How many records of the audit history there are; nil where nobody knows.
    package let records: Int?
    /// Where the chain of the records is broken, in words; nil where it is whole.
    package let brokenAt: String?

    package init(path: String?, problem: String?, records: Int? = nil, brokenAt: String? = nil) {
      self.path = path
      self.problem = problem
      self.records = records
      self.brokenAt = brokenAt
    }
  }

  package let state: State
  package let version: String
  package let uptimeSeconds: Double
  package let engine: String
  package let connectionLimit: Int
  package let zone: String?
  package let configuration: ConfigurationFile
  package let listeners: [Listener]
  package let domains: [Domain]
  package let journal: Journal

  package init(
    state: State, version: String, uptimeSeconds: Double, engine: String, connectionLimit: Int, zone: String?,
    configuration: ConfigurationFile, listeners: [Listener], domains: [Domain], journal: Journal
  ) {
    self.state = state
    self.version = version
    self.uptimeSeconds = uptimeSeconds
    self.engine = engine
    self.connectionLimit = connectionLimit
    self.zone = zone
    self.configuration = configuration
    self.listeners = listeners
    self.domains = domains
    self.journal = journal
  }
}
