import Model

/// When a name is asked about again. Pure: the random number is an argument.
///
/// The answer's TTL decides, between a floor and a cap. Someone once met TTL 0 with 95 000 queries in five minutes
/// (linkerd2#13508), so no input whatever gives less than the floor.
struct RefreshPolicy: Sendable {
  /// What the last lookup of a name brought, as far as the next one cares.
  enum Finding: Hashable, Sendable {
    /// `isPartial`: one of the two families failed and is worth an earlier try.
    case answered(timeToLive: Duration, isPartial: Bool)
    case empty(timeToLive: Duration?)
    case failed
  }

  static let firstRetry = Duration.seconds(1)
  static let longestRetry = Duration.seconds(30)
  /// A name without backends is the one somebody waits for (grpc-go#1795).
  static let longestWithoutBackends = Duration.seconds(5)
  /// Between two lookups of a name that are asked for early.
  static let earlyInterval = Duration.seconds(1)
  private static let absoluteFloor = Duration.milliseconds(100)
  private static let absoluteCap = Duration.seconds(86_400)

  private let floor: Duration
  private let cap: Duration
  private let negative: Duration

  init(_ settings: ResolverSettings) {
    floor = min(max(settings.minimumTTL, Self.absoluteFloor), Self.absoluteCap)
    cap = min(max(settings.maximumTTL, floor), Self.absoluteCap)
    negative = settings.negativeTTL
  }

  /// - Parameters:
  ///   - isSpread: the first refresh comes at any time from a third of the delay on, because many names were asked for at once.
  ///   - failures: lookups in a row that failed, this one included.
  ///   - lastTimeToLive: of the last answer; a name that changes often is also retried often.
  ///   - random: uniform over all of `UInt64`; spreads by ±10 % what began in step.
  func delay(
    after finding: Finding, _ specification: DomainSpecification, failures: Int, lastTimeToLive: Duration?,
    knowsBackends: Bool, isSpread: Bool = false, random: UInt64
  ) -> Duration {
    var bound = min(specification.maximumInterval ?? cap, cap)
    if !knowsBackends { bound = min(bound, Self.longestWithoutBackends) }
    let target: Duration =
      switch finding {
      case .answered(let timeToLive, let isPartial):
        min(specification.ttl ?? timeToLive, isPartial ? backoff(failures) : bound)
      case .empty(let timeToLive): timeToLive ?? negative
      case .failed: min(backoff(failures), max(lastTimeToLive ?? Self.longestRetry, Self.firstRetry))
      }
    let fraction = Double(random >> 11) / Double(1 << 53)
    let spread = min(max(target, floor), bound) * (isSpread ? 0.3 + 0.7 * fraction : 0.9 + 0.2 * fraction)
    // The floor last: it also wins over a `resolution_interval` below it.
    return max(min(spread, bound), floor)
  }

  /// How long a name need not be asked for a type that it has not.
  func lifetime(ofDenial timeToLive: Duration?) -> Duration { min(max(timeToLive ?? negative, floor), cap) }

  /// 1 s, 2 s, 4 s … 30 s.
  private func backoff(_ failures: Int) -> Duration {
    min(Self.firstRetry * (1 << min(max(failures - 1, 0), 5)), Self.longestRetry)
  }
}
