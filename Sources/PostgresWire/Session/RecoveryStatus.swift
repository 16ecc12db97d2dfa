/// What a server says of its place in the stream of changes.
package struct RecoveryStatus: Hashable, Sendable {
  /// A standby, or a server that restores from an archive.
  package var isInRecovery: Bool
  /// Grows by one with each promotion. Of a standby without the right to see more: as of its last restart point.
  package var timeline: UInt32?
  /// Of a standby: since the last transaction it has replayed was committed, by the two servers' clocks; zero when it has replayed
  /// all it received.
  package var lagTime: Duration?
  /// Of a standby: received and not replayed.
  package var lagBytes: UInt64?

  package init(isInRecovery: Bool, timeline: UInt32? = nil, lagTime: Duration? = nil, lagBytes: UInt64? = nil) {
    self.isInRecovery = isInRecovery
    self.timeline = timeline
    self.lagTime = lagTime
    self.lagBytes = lagBytes
  }

  /// When a primary writes for the first time in an hour, its standby is an hour late for the moment between receiving and
  /// replaying. A standby that had replayed everything the last time it was asked is therefore not late yet.
  func settled(after previous: RecoveryStatus?) -> RecoveryStatus {
    guard let previous, previous.isInRecovery, previous.lagTime == .zero, lagTime != nil else { return self }
    var status = self
    status.lagTime = .zero
    return status
  }
}
