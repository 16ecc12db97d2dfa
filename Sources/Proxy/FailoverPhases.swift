package import Model

/// How long failovers of a group took where its clients are: both clocks start when nobody is left of those who served its primary role.
package struct FailoverPhases: Hashable, Sendable {
  /// Until the first connection of a client to whoever serves now, those included that were held for it.
  package internal(set) var firstConnection = PhaseHistogram()
  /// Until the last session on those who served before has ended. Nothing where there was no session.
  package internal(set) var lastStaleSession = PhaseHistogram()

  package init() {}

  mutating func add(_ other: FailoverPhases) {
    firstConnection.add(other.firstConnection)
    lastStaleSession.add(other.lastStaleSession)
  }
}
