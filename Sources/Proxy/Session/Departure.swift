import Model

/// When a relaying session has to go although neither of its ends asked for it, and how.
///
/// Bytes cannot show a protocol's quiet point, so quiet is judged by what moved last: after a byte from the client an answer is
/// owed, and the session is busy however long it takes; after a byte from the backend, and a moment of silence, nothing is in flight.
/// A quiet session is closed in good order. A busy one that runs out of time is reset: a reply cut short must not look complete.
enum Departure: Equatable {
  case stay
  case lookAgain(at: Instant)
  case closeCleanly(Outcome)
  case reset(Outcome)

  /// What the session may expect of its surroundings.
  struct Circumstances {
    var standing: Standing
    /// Since when this worker has known of that standing.
    var standingSince: Instant
    var demotedDeadline: Duration
    var drainTimeout: Duration
    /// Set while the process drains: everything ends by then.
    var processEndsAt: Instant?
    /// The listener's; nil: a session may be silent for ever.
    var idleTimeout: Duration?
    /// The listener lets no session last longer.
    var expiresAt: Instant?
  }

  /// How long a session must have been silent before it counts as quiet. Longer than the pause between two packets of one answer.
  static let demotedQuiet = Duration.milliseconds(100)
  /// Longer for the process's own drain: an application between two requests of one conversation deserves to finish it, and an answer
  /// that pauses must not be cut short in good order. A second is not enough: a server that limits its rate pauses that long.
  static let drainQuiet = Duration.seconds(5)

  static func decide(_ circumstances: Circumstances, busy: Bool, lastActivity: Instant, now: Instant) -> Departure {
    let ownDrain = circumstances.processEndsAt.map {
      wind(up: .drained, by: $0, quiet: drainQuiet, busy: busy, lastActivity: lastActivity, now: now)
    }
    let backend: Departure =
      switch circumstances.standing {
      case .serve, .idle: .stay
      case .dead: .reset(.backendLost)
      case .demoted:
        wind(
          up: .demoted, by: circumstances.standingSince + circumstances.demotedDeadline, quiet: demotedQuiet, busy: busy,
          lastActivity: lastActivity, now: now)
      case .drain:
        // The session goes on until it ends itself: an idle database session may be inside a transaction.
        wind(
          up: .drained, by: circumstances.standingSince + circumstances.drainTimeout, quiet: nil, busy: busy,
          lastActivity: lastActivity, now: now)
      }
    let idle = circumstances.idleTimeout.map {
      wind(up: .idle, by: lastActivity + $0, quiet: nil, busy: busy, lastActivity: lastActivity, now: now)
    }
    let expired = circumstances.expiresAt.map {
      wind(up: .expired, by: $0, quiet: nil, busy: busy, lastActivity: lastActivity, now: now)
    }
    return [ownDrain, idle, expired].reduce(backend) { sum, next in next.map { sum.sooner($0) } ?? sum }
  }

  private static func wind(
    up outcome: Outcome, by deadline: Instant, quiet: Duration?, busy: Bool, lastActivity: Instant, now: Instant
  ) -> Departure {
    if let quiet, !busy {
      let quietAt = lastActivity + quiet
      if now >= quietAt { return .closeCleanly(outcome) }
      if now < deadline { return .lookAgain(at: min(quietAt, deadline)) }
    }
    if now >= deadline { return busy ? .reset(outcome) : .closeCleanly(outcome) }
    // A busy session may fall quiet at any time, and nothing on its path of bytes looks at a clock: so look again.
    return .lookAgain(at: quiet.map { min(now + $0, deadline) } ?? deadline)
  }

  private func sooner(_ other: Departure) -> Departure {
    switch (self, other) {
    case (.reset, _), (.closeCleanly, _): self
    case (_, .reset), (_, .closeCleanly): other
    case (.lookAgain(let a), .lookAgain(let b)): .lookAgain(at: min(a, b))
    case (.stay, _): other
    case (_, .stay): self
    }
  }
}
