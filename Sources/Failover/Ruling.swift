import Model

/// What the rules say about a group's primary at one moment, from nothing but the facts. `lead` carries it out, `explanation` tells it.
enum Ruling {
  struct Change {
    let to: BackendID
    let kind: Decision.Kind
    let reason: Reason
    /// How long the old primary had given no sign of life when it was found to be down.
    var detection: Duration?
  }

  /// Why a change that is due is not made yet.
  enum Delay: Hashable {
    case minimumInterval(until: Instant)
    case tooManyFailovers(until: Instant)
    case network
  }

  /// A normal group in which nobody named a primary.
  case noPrimary
  /// Nobody leads yet, and somebody is worth waiting for.
  case awaitsFirstVerdicts
  case keeps
  /// The primary cannot serve, and a person, or `pin`, wants no other.
  case keptByOverride(Reason)
  /// The primary cannot serve, nor can anybody else.
  case nobodyEligible(Reason)
  case changes(Change)
  case delayed(Change, Delay)
}

/// Why changes that were due were not made, as it was recorded.
enum Suspension: UInt8, Hashable, Sendable {
  case tooManyFailovers, network
}
