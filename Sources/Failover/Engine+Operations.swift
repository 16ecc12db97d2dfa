package import Model

/// A maintenance window, and where it stands.
package struct WindowSnapshot: Hashable, Sendable {
  package enum State: String, Hashable, Sendable {
    case waiting, draining, active
    /// This occurrence is not carried out: nobody else could have served.
    case cancelled
    case over
  }

  package let window: MaintenanceWindow
  package let state: State
  /// Of the occurrence that runs, or of the next; nil when it is over.
  package let nextStart: WallTime?
  /// Why the last occurrence was cancelled.
  package let reason: String?

  package init(window: MaintenanceWindow, state: State, nextStart: WallTime?, reason: String? = nil) {
    self.window = window
    self.state = state
    self.nextStart = nextStart
    self.reason = reason
  }
}

/// What people ask of backends, members and windows. Like `Engine+Commands.swift`: a refusal has changed nothing.
extension Engine {
  /// No new connections for the backend, in all groups that have it; its sessions end at their quiet points, at the latest after
  /// `drain_timeout`. Draining twice is no error.
  package mutating func drain(_ backend: BackendID, now: Instant) throws(CommandError) -> [Effect] {
    throw .unknownBackend(backend)
  }

  package mutating func undrain(_ backend: BackendID, now: Instant) throws(CommandError) -> [Effect] {
    throw .unknownBackend(backend)
  }

  /// A member beside those that configuration and DNS describe. It stays when these are read again.
  package mutating func addMember(
    _ source: MemberSource, to group: GroupName, now: Instant
  ) throws(CommandError) -> [Effect] {
    throw .unknownGroup(group)
  }

  /// Takes out what `addMember` or the request that made the group brought in.
  package mutating func removeMember(
    _ backend: BackendID, from group: GroupName, now: Instant
  ) throws(CommandError) -> [Effect] {
    throw .unknownGroup(group)
  }

  package mutating func schedule(_ window: MaintenanceWindow, now: Instant) throws(CommandError) -> [Effect] {
    throw .windowExists(window.id)
  }

  /// Ends it where it has begun.
  package mutating func cancelWindow(_ id: String, now: Instant) throws(CommandError) -> [Effect] {
    throw .unknownWindow(id)
  }

  /// By next start.
  package func windows(at now: Instant) -> [WindowSnapshot] { [] }
}
