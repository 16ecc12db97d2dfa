package import Model

/// A valid configuration: defaults filled in, names looked up, conflicts excluded.
package struct Configuration: Sendable {
  /// Where this host is, for affinity.
  package var zone: String?
  package var engine: EngineChoice
  package var workers: Int
  /// As written; relative to the working directory.
  package var stateDirectory: String
  package var listeners: [ListenerSpecification]
  /// Whether the file says who listens where; else each group listens where its backends do.
  package var declaresListeners: Bool
  package var resolver: ResolverSettings
  /// The groups before DNS was asked. Who runs them keeps a copy, and tells it what DNS says.
  package var topology: Topology
  package var apiAddress: SocketAddress
  /// The windows of the file.
  package var maintenance: [MaintenanceWindow]
  /// What a person should know although the file is valid, in its order.
  package var warnings: [Diagnostic]

  /// One for each distinct domain, in the order of the file. Derived each time it is asked for, as `groups` is.
  package var domains: [DomainSpecification] { topology.domains }
  package var groups: [GroupSpecification] { topology.groups }

  /// How long the process waits for its sessions when it stops: as long as its most patient group.
  package var drainTimeout: Duration { groups.map(\.drainTimeout).max() ?? .seconds(30) }
}

/// An item of `backends`, or of `POST /backends`, whether a group uses it or not.
package struct BackendSpecification: Hashable, Sendable {
  package var id: BackendID
  package var address: SocketAddress
  package var proto: BackendProtocol
  package var weight: Int
  package var zone: String?
}

extension Configuration {
  package static func load(file: String, environment: [String: String]) throws(ConfigurationError) -> Configuration {
    let reader = Reader(file: file, environment: environment)
    return try read(with: reader) { () throws(PlacedComplaint) in try Document.text(ofFile: file) }
  }

  /// The same for a text that is not in a file, or not yet; `file` is what its diagnostics call it.
  package static func parse(_ text: String, file: String, environment: [String: String]) throws(ConfigurationError) -> Configuration
  {
    let reader = Reader(file: file, environment: environment)
    return try read(with: reader) { () throws(PlacedComplaint) in text }
  }

  private static func read(
    with reader: Reader, text: () throws(PlacedComplaint) -> String
  ) throws(ConfigurationError) -> Configuration {
    do {
      if let configuration = resolve(try Document.parse(text()), with: reader) { return configuration }
    } catch {
      reader.error(error.complaint, at: error.position)
    }
    throw ConfigurationError(diagnostics: reader.diagnostics)
  }
}
