import Model

/// A recovered preferred primary that is not the primary: how ready it is to take over again.
extension Group {
  /// A member that is named as the primary went down.
  struct Failure: Hashable, Sendable {
    let backend: BackendID
    let at: Instant
  }

  /// More than this in an hour is a number nobody reads.
  static let mostFailures = 16
  private static let memory = Duration.seconds(3600)

  mutating func noteFailure(of member: Member, now: Instant) {
    guard member.designated, member.health.isDown else { return }
    failures.removeAll { now - $0.at >= Self.memory }
    failures = failures.suffix(Self.mostFailures - 1) + [Failure(backend: member.id, at: now)]
  }

  /// How often it went down in the hour before now.
  func flaps(of backend: BackendID, at now: Instant) -> Int {
    failures.count { $0.backend == backend && now - $0.at < Self.memory }
  }

  func failback(at now: Instant) -> FailbackSnapshot? {
    guard hasLeadership, let current = incumbent.flatMap(member), mayLead(current, now: now),
      let preferred = preferred(over: current, now: now), let since = preferred.eligibleSince
    else { return nil }
    var due = leaderWasDesignated ? since : failbackDue(preferred)
    if override != nil { due = nil }
    if let ready = due { due = [ready, nextAllowedChange, limitEnd(at: now)].compactMap { $0 }.max() }
    return FailbackSnapshot(backend: preferred.id, readySince: since, flaps: flaps(of: preferred.id, at: now), due: due)
  }

  private func limitEnd(at now: Instant) -> Instant? { automaticChanges.suspended(by: specification.maximumFailovers, at: now) }
}
