import Model

/// One name that discovery keeps resolved. Pure: the loop reports what happened and when, and looks up when it is due.
///
/// A lookup asks for both families and ends when both have ended. There is never more than one; a wish for an early one
/// while it runs is fulfilled by it. Some networks swallow every AAAA query: then news of the other family are told ahead of
/// the end, which is seconds away.
struct WatchedDomain: Sendable {
  private enum Phase: Sendable {
    case waiting
    case lookingUp(Progress)
  }

  private struct Progress: Sendable {
    let since: Instant
    var a: FamilyResult?
    var aaaa: FamilyResult?
    /// When the first family's news are told without the second's.
    var tellAhead: Instant?
  }

  enum Family: Hashable, Sendable, CaseIterable {
    case a, aaaa

    var recordType: RecordType {
      switch self {
      case .a: .a
      case .aaaa: .aaaa
      }
    }
  }

  /// What one family's lookup brought, after the address filter.
  struct FamilyResult: Hashable, Sendable {
    var finding: AddressSet.Finding
    var detail = ""
    var server: SocketAddress?
    var refused: [DomainStatus.Refused] = []
  }

  /// A finished lookup.
  struct Completion: Hashable, Sendable {
    var outcome: DiscoveryUpdate.Outcome
    var label: LookupLabel
    var a: FamilyResult
    var aaaa: FamilyResult
    var omitted: Int
    /// How many lookups in a row had failed before this one.
    var failuresBefore: Int
  }

  static let keptRefusals = 16
  /// How long the first family's news wait for the second: the resolution delay of RFC 8305.
  static let patience = Duration.milliseconds(50)

  private(set) var specification: DomainSpecification
  private(set) var status: DomainStatus
  private var phase = Phase.waiting
  private var addresses = AddressSet()
  private var expiry: (a: Instant, aaaa: Instant) = (.zero, .zero)
  private var lastStarted: Instant?
  private var lastTimeToLive: Duration?
  /// Lookups in a row of which at least one family failed.
  private var retries = 0

  init(_ specification: DomainSpecification, now: Instant) {
    self.specification = specification
    status = DomainStatus(domain: specification.domain, nextLookup: now)
  }

  /// When the next lookup should begin; nil while one runs.
  var due: Instant? {
    switch phase {
    case .waiting: status.nextLookup
    case .lookingUp: nil
    }
  }

  /// When `newsAhead` must be called.
  var newsDue: Instant? {
    switch phase {
    case .waiting: nil
    case .lookingUp(let progress): progress.tellAhead
    }
  }

  /// A changed specification may change which addresses pass and how often the name is asked for.
  mutating func update(_ specification: DomainSpecification, now: Instant) {
    guard specification != self.specification else { return }
    self.specification = specification
    requestRefresh(now: now)
  }

  /// Asks for a lookup before its time, at most once per `earlyInterval`. One that runs fulfils it: its end sets the time anew.
  mutating func requestRefresh(now: Instant) {
    let earliest = lastStarted.map { max(now, $0 + RefreshPolicy.earlyInterval) } ?? now
    status.nextLookup = min(status.nextLookup, earliest)
  }

  mutating func begin(source: DomainStatus.Source, now: Instant) {
    phase = .lookingUp(Progress(since: now))
    lastStarted = now
    status.source = source
    status.isLookingUp = true
  }

  /// The result of one family. The completion comes with the second.
  mutating func finished(
    _ family: Family, _ result: FamilyResult, policy: RefreshPolicy, now: Instant, random: UInt64
  ) -> Completion? {
    guard case .lookingUp(var progress) = phase else { return nil }
    switch family {
    case .a: progress.a = result
    case .aaaa: progress.aaaa = result
    }
    guard let a = progress.a, let aaaa = progress.aaaa else {
      progress.tellAhead = now + Self.patience
      phase = .lookingUp(progress)
      return nil
    }
    phase = .waiting
    let before = addresses.known
    let merge = addresses.merge(a: a.finding, aaaa: aaaa.finding)
    let completion = Completion(
      outcome: merge.outcome, label: LookupLabel(merge, a, aaaa), a: a, aaaa: aaaa, omitted: merge.omitted,
      failuresBefore: status.consecutiveFailures)
    record(completion, since: progress.since, now: now)
    noteRecords(a, aaaa, replacing: before, now: now)
    schedule(merge.finding, policy: policy, now: now, random: random)
    return completion
  }

  /// The set as the first family has it, if that is news; the second counts as failed meanwhile.
  mutating func newsAhead(now: Instant) -> DiscoveryUpdate.Outcome? {
    guard case .lookingUp(var progress) = phase, let due = progress.tellAhead, due <= now else { return nil }
    progress.tellAhead = nil
    phase = .lookingUp(progress)
    var preview = addresses
    let pending = AddressSet.Finding.failed(.timedOut)
    let merge = preview.merge(a: progress.a?.finding ?? pending, aaaa: progress.aaaa?.finding ?? pending)
    guard case .answered = merge.finding, preview.known != addresses.known else { return nil }
    return merge.outcome
  }

  private mutating func schedule(_ finding: RefreshPolicy.Finding, policy: RefreshPolicy, now: Instant, random: UInt64) {
    if case .answered(let timeToLive, _) = finding { lastTimeToLive = timeToLive }
    switch finding {
    case .answered(_, isPartial: false), .empty: retries = 0
    case .answered(_, isPartial: true), .failed: retries += 1
    }
    let delay = policy.delay(
      after: finding, specification, failures: retries, lastTimeToLive: lastTimeToLive,
      knowsBackends: !addresses.known.isEmpty, random: random)
    status.nextLookup = now + delay
  }

  private mutating func record(_ completion: Completion, since: Instant, now: Instant) {
    status.isLookingUp = false
    status.a = DomainStatus.Family(completion.a)
    status.aaaa = DomainStatus.Family(completion.aaaa)
    status.lastOutcome = completion.label
    status.lastLookupEnded = now
    status.lastLookupDuration = now - since
    status.lookupDurations += now - since
    status.lookups[completion.label, default: 0] += 1
    let refused = completion.a.refused + completion.aaaa.refused
    status.refused = Array(refused.prefix(Self.keptRefusals))
    status.refusedTotal += UInt64(refused.count)
    switch completion.label {
    case .answer, .empty:
      status.lastAnswered = now
      status.consecutiveFailures = 0
    case .failed:
      status.consecutiveFailures += 1
    }
  }

  private mutating func noteRecords(_ a: FamilyResult, _ aaaa: FamilyResult, replacing before: [IPAddress], now: Instant) {
    if case .addresses(_, let timeToLive) = a.finding { expiry.a = now + (specification.ttl ?? timeToLive) }
    if case .addresses(_, let timeToLive) = aaaa.finding { expiry.aaaa = now + (specification.ttl ?? timeToLive) }
    let (old, new) = (Set(before), Set(addresses.known))
    status.addedAddresses += UInt64(new.subtracting(old).count)
    status.removedAddresses += UInt64(old.subtracting(new).count)
    status.records = addresses.known.map { address in
      switch address {
      case .v4: DomainStatus.Record(address: address, expires: expiry.a)
      case .v6: DomainStatus.Record(address: address, expires: expiry.aaaa)
      }
    }
  }
}

extension DomainStatus.Family {
  init(_ result: WatchedDomain.FamilyResult) {
    let label: LookupLabel =
      switch result.finding {
      case .addresses: .answer
      case .empty: .empty
      case .failed(let failure): .failed(failure)
      }
    self.init(label: label, detail: result.detail, server: result.server)
  }
}

extension LookupLabel {
  /// An answer made only of remembered addresses is served as one and counted as the failure it was.
  fileprivate init(_ merge: AddressSet.Merge, _ a: WatchedDomain.FamilyResult, _ aaaa: WatchedDomain.FamilyResult) {
    switch merge.finding {
    case .answered: self = .answer
    case .empty: self = .empty
    case .failed:
      if case .failed(let failure) = a.finding {
        self = .failed(failure)
      } else if case .failed(let failure) = aaaa.finding {
        self = .failed(failure)
      } else {
        self = .failed(.other)
      }
    }
  }
}
