package import Model

/// Whether a member works, as a count of consecutive probe results against two thresholds.
///
/// Evidence of the data path counts too, but never alone: it brings the count to one short of the verdict and asks for a probe,
/// so that a failover rests on two independent observations (with a threshold of one, the operator asked for one to be enough).
package struct Health: Hashable, Sendable {
  package enum State: Hashable, Sendable {
    case unknown
    case up
    // Indirect: most members are not down, and each of tens of thousands would carry the room for the text.
    indirect case down(ProbeFailure)
  }

  package enum Change: Hashable, Sendable {
    case none
    case cameUp
    case wentDown(ProbeFailure)
    /// Not down yet, but the failure leaves little doubt: ask again at once instead of at the next interval.
    case doubted
  }

  package private(set) var state: State = .unknown
  package private(set) var since: Instant
  private var performance = Performance()
  /// Never, where it is the earliest of all instants: an optional would be twice as large.
  private var passedAt = Instant(nanoseconds: .min)
  /// Both counts stop at their largest value, and so do the thresholds.
  private var passes: UInt16 = 0
  private var failureCount: UInt16 = 0

  package init(now: Instant) { since = now }

  package var isUp: Bool { state == .up }
  package var isDown: Bool { if case .down = state { true } else { false } }

  /// Failures in a row that count towards the verdict.
  var failures: Int { Int(failureCount) }

  /// The last proof of life.
  package var lastPassed: Instant? { passedAt == Instant(nanoseconds: .min) ? nil : passedAt }

  /// How well it works, 0 to 100 (see `Performance`); nil before the first probe.
  package var score: Int? { performance.score }

  /// - Parameter found: when it passed, where that was before `now`.
  package mutating func probePassed(
    check: HealthCheck, latency: Duration = .zero, found: Instant? = nil, now: Instant
  ) -> Change {
    probePassedAgain(latency: latency, found: found, now: now)
    switch state {
    case .up:
      return .none
    case .unknown:
      // A start must not cost `healthyThreshold` intervals: nothing speaks against the member yet.
      break
    case .down:
      if passes < UInt16(clamping: check.healthyThreshold) { return .none }
    }
    state = .up
    since = now
    return .cameUp
  }

  /// What `probePassed` comes to where the member is up, without a look at the check.
  mutating func probePassedAgain(latency: Duration, found: Instant?, now: Instant) {
    performance.probePassed(latency: latency)
    passedAt = min(found ?? now, now)
    failureCount = 0
    passes = passes == .max ? .max : passes + 1
  }

  package mutating func probeFailed(_ failure: ProbeFailure, check: HealthCheck, now: Instant) -> Change {
    performance.probeFailed()
    return fail(failure, upTo: check.unhealthyThreshold, check: check, now: now)
  }

  package mutating func dataPathFailed(_ failure: ProbeFailure, check: HealthCheck, now: Instant) -> Change {
    performance.connectionFailed()
    return fail(failure, upTo: max(1, check.unhealthyThreshold - 1), check: check, now: now)
  }

  private mutating func fail(_ failure: ProbeFailure, upTo limit: Int, check: HealthCheck, now: Instant) -> Change {
    passes = 0
    failureCount = max(failureCount, UInt16(clamping: min(failures + 1, limit)))
    switch state {
    case .down:
      state = .down(failure)
      return .none
    case .up, .unknown:
      if failureCount >= UInt16(clamping: check.unhealthyThreshold) {
        state = .down(failure)
        since = now
        return .wentDown(failure)
      }
      return failure.kind.isAbrupt ? .doubted : .none
    }
  }
}

extension DataPathSignal.Kind {
  /// The failure this signal stands for, or nil where it is only a reason to look.
  var failure: ProbeFailure? {
    switch self {
    case .connectRefused: ProbeFailure(.refused, "a client's connection was refused")
    case .connectTimedOut: ProbeFailure(.timedOut, "a client's connection was not answered")
    case .connectUnreachable: ProbeFailure(.unreachable, "a client's connection had no route")
    case .reset: ProbeFailure(.reset, "a client's session was reset")
    case .closed: nil
    }
  }
}
