package import Model

/// Backends that come and go while we run: `POST` and `DELETE /backends`.
extension Topology {
  /// The items of `backends` and those made through the API, by id.
  package var backends: [BackendSpecification] {
    (Array(declared.backends.values) + addedBackends.values).sorted { $0.id < $1.id }
  }

  package func backend(_ id: BackendID) -> BackendSpecification? { declared.backends[id] ?? addedBackends[id] }

  func hasBackend(_ id: BackendID) -> Bool { backend(id) != nil }

  /// Adds a backend under the rules of the file, for groups to name. Nothing is changed when it is refused.
  @discardableResult
  package mutating func addBackend(_ request: BackendRequest) throws(BackendRefusal) -> BackendSpecification {
    // No environment: what comes over the network does not read our variables.
    let reader = Reader(file: "", environment: [:])
    guard let backend = request.declaration(reader: reader)?.specification, !reader.hasErrors else {
      throw .invalid(reasons: reader.reasons)
    }
    if let refusal = refusal(of: backend) { throw refusal }
    addedBackends[backend.id] = backend
    return backend
  }

  /// Why a backend cannot be added; nil when it can.
  func refusal(of backend: BackendSpecification) -> BackendRefusal? {
    if hasBackend(backend.id) { return .exists(backend.id) }
    var reasons: [String] = []
    if addedBackends.count >= Self.mostAdded {
      reasons.append("\(addedBackends.count) backends were added already; remove some, or write them into \(declared.file)")
    }
    if !numbers(of: DomainName(backend.id.rawValue)).isEmpty {
      reasons.append("\(quoted(backend.id.rawValue)) is also a domain of dns_backends; choose another")
    }
    return reasons.isEmpty ? nil : .invalid(reasons: reasons)
  }

  /// Removes a backend that was made through the API. `used` are the members of all groups as they run.
  package mutating func removeBackend(_ id: BackendID, used: Set<BackendID>) throws(BackendRefusal) {
    guard addedBackends[id] != nil else {
      if declared.backends[id] == nil { throw .unknown(id) }
      throw .declared(id, file: declared.file)
    }
    if used.contains(id) { throw .inUse(id) }
    addedBackends[id] = nil
  }
}
