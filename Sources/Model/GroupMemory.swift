/// What must be known of a group after a restart, as facts. The instants are wall-clock time: the monotonic clock starts anew.
package struct GroupMemory: Hashable, Sendable, Codable {
  package struct Override: Hashable, Sendable, Codable {
    package var backend: String
    package var force: Bool
    package var pin: Bool

    package init(backend: String, force: Bool, pin: Bool) {
      self.backend = backend
      self.force = force
      self.pin = pin
    }
  }

  package var group: String
  package var primary: String?
  package var override: Override?
  /// Backends that a person drained, sorted.
  package var drained: [String]
  /// Milliseconds since 1970; the latest changes of primary by the engine itself, oldest first, no more than its limits need.
  package var automaticChanges: [Int64]
  package var lastFailover: Int64?
  package var failoverCount: Int

  package init(
    group: String, primary: String? = nil, override: Override? = nil, drained: [String] = [], automaticChanges: [Int64] = [],
    lastFailover: Int64? = nil, failoverCount: Int = 0
  ) {
    self.group = group
    self.primary = primary
    self.override = override
    self.drained = drained
    self.automaticChanges = automaticChanges
    self.lastFailover = lastFailover
    self.failoverCount = failoverCount
  }
}
