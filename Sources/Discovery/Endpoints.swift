import Model

/// What one lookup of a name brought, gathered from its questions, and before it is merged with what is remembered.
struct Findings: Hashable, Sendable {
  enum Places: Hashable, Sendable {
    case found([Place], isDrained: Bool, timeToLive: Duration)
    case empty(timeToLive: Duration?)
    case failed(DNSFailure)
  }

  /// Where a name leads before addresses are known: an SRV record, or for an address name the name itself.
  struct Place: Hashable, Sendable {
    var target: WireName
    var port: UInt16?
    var tier: UInt16 = 0
    var weight: UInt16?
  }

  /// One address family of one target, after the address filter.
  enum Family: Hashable, Sendable {
    case addresses([IPAddress], timeToLive: Duration)
    case empty(timeToLive: Duration?)
    case failed(DNSFailure)
  }

  struct Target: Hashable, Sendable {
    var a: Family
    var aaaa: Family
  }

  var places: Places
  var targets: [WireName: Target] = [:]
}

/// The endpoints of a name as the last good answers gave them, and what a new lookup changes.
///
/// Parts of a lookup fail apart: a broken AAAA server must not take away the IPv4 backends nor hide that they changed, and one
/// target of a service that does not resolve must not take away the others. What fails contributes what it last brought.
struct Endpoints: Hashable, Sendable {
  struct Merge: Hashable, Sendable {
    var outcome: DiscoveryUpdate.Outcome
    var isDrained = false
    var label: LookupLabel
    var finding: RefreshPolicy.Finding
    /// Endpoints above `maximum` that were left out.
    var omitted = 0
    /// What nobody vouched for this time: they are known from earlier, and the question for them failed.
    var stale: Set<IPAddress> = []
  }

  static let maximum = 64

  private struct Addresses: Hashable, Sendable {
    var v4: [IPAddress] = []
    var v6: [IPAddress] = []
  }

  /// By target. For an address name there is one, the name: tens of thousands of dictionaries of one would be a tenth of all memory.
  private enum Targets: Hashable, Sendable {
    case none
    case one(WireName, Addresses)
    case many([WireName: Addresses])

    init(_ targets: [WireName: Addresses]) {
      if targets.count > 1 {
        self = .many(targets)
      } else if let (name, addresses) = targets.first {
        self = .one(name, addresses)
      } else {
        self = .none
      }
    }

    subscript(name: WireName) -> Addresses? {
      switch self {
      case .none: nil
      case .one(let only, let addresses): only == name ? addresses : nil
      case .many(let targets): targets[name]
      }
    }
  }

  private var addresses = Targets.none
  /// Of an earlier run, until a lookup of which nothing failed replaces them.
  private var remembered: [DiscoveredEndpoint] = []
  private var rotation = Rotation()
  /// The last good set: sorted, no address and port twice, at most 64.
  private(set) var known: [DiscoveredEndpoint] = []
  /// Those of `known` that the last answer did not name; see `Rotation`.
  var kept: Set<DiscoveredEndpoint> { rotation.kept }

  init() {}

  init(remembered: [DiscoveredEndpoint]) {
    self.remembered = Array(remembered.sorted().prefix(Self.maximum))
    known = self.remembered
  }

  mutating func merge(_ findings: Findings, window: Duration, now: Instant) -> Merge {
    switch findings.places {
    case .failed(let failure):
      return Merge(outcome: .failed(failure), label: .failed(failure), finding: .failed)
    case .empty(let timeToLive):
      self = Endpoints()
      return Merge(outcome: .empty, label: .empty, finding: .empty(timeToLive: timeToLive))
    case .found(let places, let isDrained, let timeToLive):
      // On a copy: a lookup that taught nothing must not change what is remembered.
      var next = self
      let merge = next.merge(places, findings.targets, isDrained: isDrained, timeToLive: timeToLive, window: window, now: now)
      if case .failed = merge.outcome { return merge }
      self = next
      return merge
    }
  }

  private mutating func merge(
    _ places: [Findings.Place], _ targets: [WireName: Findings.Target], isDrained: Bool, timeToLive: Duration, window: Duration,
    now: Instant
  ) -> Merge {
    var tally = Tally(timeToLive: timeToLive)
    var next: [WireName: Addresses] = [:]
    for place in places where next[place.target] == nil {
      let found = targets[place.target]
      var family = addresses[place.target] ?? Addresses()
      tally.take(found?.a, into: &family.v4)
      tally.take(found?.aaaa, into: &family.v6)
      next[place.target] = family
    }
    addresses = Targets(next)
    if tally.failure == nil { remembered = [] }

    var named = Self.unique(places, next, remembered)
    let omitted = max(0, named.count - Self.maximum)
    named = Array(named.prefix(Self.maximum))
    if named.isEmpty && !isDrained {
      if let failure = tally.failure { return Merge(outcome: .failed(failure), label: .failed(failure), finding: .failed) }
      self = Endpoints()
      return Merge(outcome: .empty, label: .empty, finding: .empty(timeToLive: tally.negative))
    }
    if !tally.answered, !places.isEmpty, let failure = tally.failure {
      // Nothing but denials and failures: what is left is what the failed parts knew, and what rotates stays as it is.
      let identities = Set(named.map(Rotation.Identity.init))
      let kept = rotation.kept.filter { !identities.contains(Rotation.Identity($0)) }.sorted()
      known = (named + kept.prefix(Self.maximum - named.count)).sorted()
      let outcome: DiscoveryUpdate.Outcome = tally.denied ? .answer(known) : .failed(failure)
      return Merge(outcome: outcome, isDrained: isDrained, label: .failed(failure), finding: .failed, omitted: omitted)
    }
    if isDrained { rotation = Rotation() }
    known = rotation.take(named, window: window, limit: Self.maximum, now: now)
    return Merge(
      outcome: .answer(known), isDrained: isDrained, label: .answer,
      finding: .answered(timeToLive: tally.timeToLive, isPartial: tally.failure != nil), omitted: omitted, stale: tally.stale)
  }

  /// The smallest stay where there are too many, so that an answer which only changes its order stays the same set.
  private static func unique(
    _ places: [Findings.Place], _ addresses: [WireName: Addresses], _ remembered: [DiscoveredEndpoint]
  ) -> [DiscoveredEndpoint] {
    var all: [DiscoveredEndpoint] = []
    for place in places {
      guard let families = addresses[place.target] else { continue }
      for address in families.v4 + families.v6 {
        all.append(DiscoveredEndpoint(address, port: place.port, tier: place.tier, weight: place.weight))
      }
    }
    var seen: Set<Rotation.Identity> = []
    // Of one address and port in two tiers the lower counts.
    return (all.sorted() + remembered).filter { seen.insert(Rotation.Identity($0)).inserted }.sorted()
  }

  private struct Tally {
    var timeToLive: Duration
    var negative: Duration?
    var failure: DNSFailure?
    var answered = false
    var denied = false
    var stale: Set<IPAddress> = []

    mutating func take(_ finding: Findings.Family?, into family: inout [IPAddress]) {
      switch finding {
      case .addresses(let addresses, let timeToLive):
        family = addresses
        answered = true
        self.timeToLive = min(self.timeToLive, timeToLive)
      case .empty(let timeToLive):
        // A denial's TTL is that of its family; it shortens no answer.
        family = []
        denied = true
        if let timeToLive { negative = min(negative ?? timeToLive, timeToLive) }
      case .failed(let failure):
        self.failure = self.failure ?? failure
        stale.formUnion(family)
      case nil: break
      }
    }
  }
}
