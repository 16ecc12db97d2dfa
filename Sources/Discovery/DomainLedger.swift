import Model

/// What is kept of a name for people. `DomainStatus` is put together from it when somebody asks: there are tens of thousands of
/// names, and hardly ever somebody who looks at all of them.
struct DomainLedger: Sendable {
  /// One question of the last lookup and what it brought.
  struct Question: Sendable {
    let key: LookupKey
    let label: LookupLabel
    let detail: String
    let server: SocketAddress?

    var isFailure: Bool { if case .failed = label { true } else { false } }
  }

  var source = DomainStatus.Source.dns
  var isLookingUp = false
  var nextLookup: Instant
  var questions: [Question] = []
  var refused: [DomainStatus.Refused] = []
  private(set) var refusedTotal: UInt32 = 0
  private(set) var ignoredText: [IgnoredText: UInt64] = [:]
  private(set) var lastOutcome: LookupLabel?
  private var lastEnded: Instant?
  var lastAnswered: Instant?
  private(set) var consecutiveFailures: UInt32 = 0
  private var lookups = InlineArray<9, UInt32>(repeating: 0)
  private var lastNanoseconds: Int64 = 0
  private var totalNanoseconds: Int64 = 0
  private var added: UInt32 = 0
  private var removed: UInt32 = 0
  /// When the last answer may no longer be believed, and for the endpoints it did not vouch for: when theirs may not.
  private var expires: Instant
  private var older: [IPAddress: Instant] = [:]

  init(nextLookup: Instant) {
    self.nextLookup = nextLookup
    expires = nextLookup
  }

  mutating func remember(from instant: Instant) {
    source = .memory
    lastAnswered = instant
    expires = instant
  }

  /// - Parameter refusals: how many of `completion.refused` are kept.
  mutating func record(_ completion: WatchedDomain.Completion, began: Instant, keeping refusals: Int, now: Instant) {
    isLookingUp = false
    lastOutcome = completion.label
    lastEnded = now
    lastNanoseconds = (now - began).nanoseconds
    totalNanoseconds &+= lastNanoseconds
    lookups[completion.label.ordinal] &+= 1
    refused = completion.refused.isEmpty ? [] : Array(completion.refused.prefix(refusals))
    refusedTotal &+= UInt32(clamping: completion.refused.count)
    for reason in completion.ignored { ignoredText[reason, default: 0] += 1 }
    switch completion.label {
    case .answer, .empty:
      lastAnswered = now
      consecutiveFailures = 0
    case .failed:
      consecutiveFailures += 1
    }
  }

  mutating func count(added: Int, removed: Int) {
    self.added &+= UInt32(clamping: added)
    self.removed &+= UInt32(clamping: removed)
  }

  /// - Parameter unconfirmed: addresses that the answer did not vouch for keep the time they had.
  mutating func answered(expiring expires: Instant, unconfirmed: Set<IPAddress>) {
    if unconfirmed.isEmpty {
      older = [:]
    } else {
      let before = (times: older, other: self.expires)
      older = Dictionary(uniqueKeysWithValues: unconfirmed.map { ($0, before.times[$0] ?? before.other) })
    }
    self.expires = expires
  }

  func expiry(of address: IPAddress) -> Instant { older[address] ?? expires }

  func status(of specification: DomainSpecification) -> DomainStatus {
    var status = DomainStatus(domain: specification.domain, record: specification.record, nextLookup: nextLookup)
    status.source = source
    status.refused = refused
    status.refusedTotal = UInt64(refusedTotal)
    status.isLookingUp = isLookingUp
    status.parts = questions.map(DomainStatus.Part.init)
    status.ignoredText = ignoredText
    status.lastOutcome = lastOutcome
    status.lastLookupEnded = lastEnded
    status.lastAnswered = lastAnswered
    status.consecutiveFailures = Int(consecutiveFailures)
    for label in LookupLabel.allCases where lookups[label.ordinal] > 0 { status.lookups[label] = UInt64(lookups[label.ordinal]) }
    status.lastLookupDuration = lastEnded == nil ? nil : .nanoseconds(lastNanoseconds)
    status.lookupDurations = .nanoseconds(totalNanoseconds)
    status.addedEndpoints = UInt64(added)
    status.removedEndpoints = UInt64(removed)
    return status
  }
}

extension DomainLedger.Question {
  init(_ key: LookupKey, _ result: Lookup.Result) {
    self.key = key
    switch result {
    case .answered(.records, let server): (label, detail, self.server) = (.answer, "", server)
    case .answered(.empty(let denial, _), let server): (label, detail, self.server) = (.empty, denial.rawValue, server)
    case .failed(let failure, let text, let server): (label, detail, self.server) = (.failed(failure), text, server)
    }
  }
}

extension DomainStatus.Part {
  init(_ question: DomainLedger.Question) {
    name = question.key.name.description
    type = question.key.type.text
    label = question.label
    detail = question.detail
    server = question.server
  }
}

extension LookupLabel {
  /// Its place in a row of counters.
  fileprivate var ordinal: Int {
    switch self {
    case .answer: 0
    case .empty: 1
    case .failed(.timedOut): 2
    case .failed(.serverFailure): 3
    case .failed(.refused): 4
    case .failed(.malformed): 5
    case .failed(.noServer): 6
    case .failed(.allRefused): 7
    case .failed(.other): 8
    }
  }
}
