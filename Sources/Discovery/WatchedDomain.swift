import Model

/// One name that discovery keeps resolved. Pure: the loop reports what happened and when, and asks what it is told to ask.
///
/// A round of questions begins when it is due and ends when all are answered, at the latest at its deadline. There is never
/// more than one; a wish for an early one while it runs is fulfilled by it. An address name asks for A and AAAA, a service name for
/// SRV and then for the addresses of targets that the answer did not bring along; where wished, TXT is asked for as well. Some
/// networks swallow every AAAA query: then news of the others are told ahead of the end, which is seconds away.
struct WatchedDomain: Sendable {
  private enum Phase: Sendable {
    case waiting
    indirect case asking(Round)
  }

  enum Step: Hashable, Sendable {
    case wait
    /// These questions belong to the round as well.
    case ask([LookupKey])
    case completed(Completion)
  }

  /// What the loop adds to a result: none of it is the name's own.
  struct Context {
    let policy: RefreshPolicy
    /// Uniform over all of `UInt64`.
    let random: UInt64
    /// Whether the name is one of so many that their refreshes must be spread.
    let isOneOfMany: Bool
    /// The addresses that may be backends at these ports; the others are added to the refused.
    let filter: (_ addresses: [IPAddress], _ ports: Set<UInt16>, _ refused: inout [DomainStatus.Refused]) -> [IPAddress]
  }

  /// A finished lookup.
  struct Completion: Hashable, Sendable {
    var update: DiscoveryUpdate
    var label: LookupLabel
    /// The most telling question; nil when all went well.
    var failure: DomainStatus.Part?
    var refused: [DomainStatus.Refused]
    var omitted: Int
    /// TXT strings that had no effect, when they are news.
    var ignored: [IgnoredText]
    /// How many lookups in a row had failed before this one.
    var failuresBefore: Int
  }

  static let keptRefusals = 16
  /// How long the first news wait for the rest: the resolution delay of RFC 8305.
  static let patience = Duration.milliseconds(50)
  /// How long an answer of an earlier run waits for a new one.
  static let patienceWithMemory = Duration.milliseconds(300)
  /// The part of a `Rotation` window that does not depend on the name.
  private static let windows = Duration.seconds(30)...Duration.seconds(300)

  /// Lookups begin at multiples of this, so that of thousands of names several share a wake-up of the thread.
  private static let grid = Duration.milliseconds(20)

  private(set) var specification: DomainSpecification
  private var ledger: DomainLedger
  private var phase = Phase.waiting
  private var endpoints = Endpoints()
  private var attributes: TextAttributes?
  private var ignoredText: [IgnoredText] = []
  private var lastStarted: Instant?
  private var lastTimeToLive: Duration?
  /// When the remembered answer was good; nil once a server has spoken, or where nothing is remembered.
  private var rememberedFrom: Instant?
  private var memoryIsTold = false
  /// Until when the name is known to have no record of a type.
  private var denials = Denials()
  /// Of the update that was told last: 64 bits in place of a second copy. Two that share them are one in 2^64.
  private var lastTold: Int?
  /// Somebody asked for a lookup: its result is told as news even if it is none.
  private var isRequested = false
  /// Lookups in a row of which at least one question failed.
  private var retries = 0

  init(_ specification: DomainSpecification, remembered: RememberedAnswer? = nil, now: Instant) {
    self.specification = specification
    ledger = DomainLedger(nextLookup: now)
    guard let remembered, !remembered.endpoints.isEmpty else { return }
    endpoints = Endpoints(remembered: remembered.endpoints)
    attributes = remembered.attributes
    rememberedFrom = now - remembered.age
    ledger.remember(from: now - remembered.age)
  }

  /// Put together for whoever asks.
  var status: DomainStatus {
    var status = ledger.status(of: specification)
    status.attributes = attributes
    let kept = endpoints.kept
    status.records = endpoints.known.map {
      DomainStatus.Record(endpoint: $0, expires: ledger.expiry(of: $0.address), isKept: kept.contains($0))
    }
    return status
  }

  /// Whether there are endpoints to go to, however old.
  var knowsEndpoints: Bool { !endpoints.known.isEmpty }

  /// When the next lookup should begin; nil while one runs.
  var due: Instant? {
    switch phase {
    case .waiting: ledger.nextLookup
    case .asking: nil
    }
  }

  /// When `tick` must be called, while a round runs.
  var nextTick: Instant? {
    switch phase {
    case .waiting: nil
    case .asking(let round): min(round.tellAhead ?? round.deadline, round.deadline)
    }
  }

  /// The questions that the round still waits for.
  var pending: Set<LookupKey> {
    switch phase {
    case .waiting: []
    case .asking(let round): round.pending
    }
  }

  /// A changed specification may change which records are asked for, which addresses pass, and how often.
  mutating func update(_ specification: DomainSpecification, now: Instant) {
    guard specification != self.specification else { return }
    self.specification = specification
    requestRefresh(now: now)
  }

  /// Asks for a lookup before its time, at most once per `earlyInterval`. One that runs fulfils it: its end sets the time anew.
  mutating func requestRefresh(now: Instant) {
    isRequested = true
    let earliest = lastStarted.map { max(now, $0 + RefreshPolicy.earlyInterval) } ?? now
    ledger.nextLookup = min(ledger.nextLookup, earliest)
  }

  // MARK: A round

  /// - Parameter names: of the search list, the first to be tried; later ones are for when it does not exist. Not empty.
  /// - Returns: the first questions.
  mutating func begin(_ names: [WireName], source: DomainStatus.Source, now: Instant) -> [LookupKey] {
    let round = Round(
      names: names, specification: specification, source: source, denied: names.count == 1 ? deniedTypes(now: now) : [], since: now,
      tellAhead: rememberedFrom != nil && !memoryIsTold ? now + Self.patienceWithMemory : nil)
    phase = .asking(round)
    lastStarted = now
    if rememberedFrom == nil { ledger.source = source }
    ledger.isLookingUp = true
    return Array(round.pending)
  }

  /// A denial is an answer, and is believed as long as one. Not when somebody asks: there may be news.
  private func deniedTypes(now: Instant) -> Set<RecordType> {
    isRequested ? [] : denials.types(at: now)
  }

  mutating func finished(_ key: LookupKey, _ result: Lookup.Result, _ context: Context, now: Instant) -> Step {
    guard case .asking(var round) = phase, round.pending.contains(key) else { return .wait }
    let more = round.take(result, of: key)
    if more.isEmpty, round.pending.isEmpty { return .completed(complete(round, context, now: now)) }
    // Without a server's word on its group a new name has no place to be told in.
    let mayTell = !round.asksText || attributes != nil || round.text != nil
    if round.hasNews, mayTell { round.tellAhead = min(round.tellAhead ?? round.deadline, now + Self.patience) }
    phase = .asking(round)
    return more.isEmpty ? .wait : .ask(more)
  }

  /// - Returns: news ahead of the end, or the end, when the deadline has come.
  mutating func tick(_ context: Context, now: Instant) -> (news: DiscoveryUpdate?, completion: Completion?) {
    guard case .asking(var round) = phase else { return (nil, nil) }
    if round.deadline <= now {
      round.giveUp()
      return (nil, complete(round, context, now: now))
    }
    guard let due = round.tellAhead, due <= now else { return (nil, nil) }
    round.tellAhead = nil
    phase = .asking(round)
    let news = newsAhead(round, context, now: now)
    // What the end repeats of it is told once more: it is more certain.
    if news != nil { lastTold = nil }
    return (news, nil)
  }

  private mutating func newsAhead(_ round: Round, _ context: Context, now: Instant) -> DiscoveryUpdate? {
    guard round.hasNews else { return memory(now: now) }
    var round = round
    round.giveUp()
    var preview = endpoints
    var refused: [DomainStatus.Refused] = []
    let merge = preview.merge(
      round.findings(ports: specification.ports) { context.filter($0, $1, &refused) }, window: window, now: now)
    guard case .answered = merge.finding, preview.known != endpoints.known else { return nil }
    var ignored: [IgnoredText] = []
    return DiscoveryUpdate(
      domain: specification.domain, outcome: merge.outcome, isDrained: merge.isDrained,
      attributes: round.attributes(&ignored) ?? attributes)
  }

  /// Says of an update whether it only repeats the one before. Whoever wanted a lookup may be new and not have heard that one.
  private mutating func marked(_ update: DiscoveryUpdate) -> DiscoveryUpdate {
    var update = update
    let fingerprint = update.hashValue
    update.isRepeat = fingerprint == lastTold && !isRequested
    isRequested = false
    lastTold = fingerprint
    return update
  }

  /// The answer of an earlier run, told once.
  private mutating func memory(now: Instant) -> DiscoveryUpdate? {
    guard let rememberedFrom, !memoryIsTold else { return nil }
    memoryIsTold = true
    return DiscoveryUpdate(
      domain: specification.domain, outcome: .answer(endpoints.known), attributes: attributes, age: now - rememberedFrom)
  }

  private mutating func complete(_ round: Round, _ context: Context, now: Instant) -> Completion {
    phase = .waiting
    var ignored: [IgnoredText] = []
    if let attributes = round.attributes(&ignored) { self.attributes = attributes }
    let newlyIgnored = round.text == nil || ignored == ignoredText ? [] : ignored
    if round.text != nil { ignoredText = ignored }

    var refused: [DomainStatus.Refused] = []
    let before = Set(endpoints.known.map(Rotation.Identity.init))
    let merge = endpoints.merge(
      round.findings(ports: specification.ports) { context.filter($0, $1, &refused) }, window: window, now: now)
    switch merge.label {
    case .answer, .empty:
      rememberedFrom = nil
      ledger.source = round.source
    case .failed: break
    }
    var update = DiscoveryUpdate(
      domain: specification.domain, outcome: merge.outcome, isDrained: merge.isDrained, attributes: attributes)
    if case .failed = merge.outcome, let memory = memory(now: now) { update = memory }
    update = marked(update)
    for type in round.answeredTypes { denials.lift(type) }
    for (type, timeToLive) in round.denials { denials.deny(type, until: now + context.policy.lifetime(ofDenial: timeToLive)) }
    ledger.questions = round.questions
    let completion = Completion(
      update: update, label: merge.label, failure: ledger.questions.first(where: \.isFailure).map(DomainStatus.Part.init),
      refused: refused, omitted: merge.omitted, ignored: newlyIgnored, failuresBefore: Int(ledger.consecutiveFailures))
    ledger.record(completion, began: round.since, keeping: Self.keptRefusals, now: now)
    noteRecords(merge, replacing: before, now: now)
    // A TXT lookup that failed is worth an early try like a family that did.
    var finding = merge.finding
    if case .answered(let timeToLive, let isPartial) = finding {
      finding = .answered(
        timeToLive: min(timeToLive, round.textTimeToLive ?? timeToLive), isPartial: isPartial || round.textFailed)
    }
    schedule(finding, context, now: now)
    return completion
  }

  private var window: Duration {
    let interval = min(specification.ttl ?? lastTimeToLive ?? .zero, Self.windows.upperBound)
    return min(max(interval * 3, Self.windows.lowerBound), Self.windows.upperBound)
  }

  private mutating func schedule(_ finding: RefreshPolicy.Finding, _ context: Context, now: Instant) {
    let isFirst = lastTimeToLive == nil
    if case .answered(let timeToLive, _) = finding { lastTimeToLive = timeToLive }
    switch finding {
    case .answered(_, isPartial: false), .empty: retries = 0
    case .answered(_, isPartial: true), .failed: retries += 1
    }
    let delay = context.policy.delay(
      after: finding, specification, failures: retries, lastTimeToLive: lastTimeToLive, knowsBackends: !endpoints.known.isEmpty,
      isSpread: isFirst && context.isOneOfMany, random: context.random)
    ledger.nextLookup = (now + delay).rounded(upTo: Self.grid)
  }

  private mutating func noteRecords(_ merge: Endpoints.Merge, replacing before: Set<Rotation.Identity>, now: Instant) {
    let after = Set(endpoints.known.map(Rotation.Identity.init))
    ledger.count(added: after.subtracting(before).count, removed: before.subtracting(after).count)
    // What an empty answer leaves is nothing, and what a failure leaves only got older.
    guard case .answered(let timeToLive, _) = merge.finding else { return }
    ledger.answered(
      expiring: now + (specification.ttl ?? timeToLive), unconfirmed: merge.stale.union(endpoints.kept.map(\.address)))
  }
}

extension Instant {
  fileprivate func rounded(upTo step: Duration) -> Instant {
    let beyond = nanoseconds % step.nanoseconds
    return beyond == 0 ? self : self + .nanoseconds(step.nanoseconds - beyond)
  }
}
