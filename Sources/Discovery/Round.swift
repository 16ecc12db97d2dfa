import Model

/// The questions of one lookup of a name and what has come of them.
struct Round: Sendable {
  let since: Instant
  let deadline: Instant
  let source: DomainStatus.Source
  /// Whether TXT is asked for. The hosts file and literal addresses have neither services nor text.
  let asksText: Bool
  private let record: RecordKind
  /// The name in question, and those of the search list that are tried when it does not exist.
  private var name: WireName
  private var others: ArraySlice<WireName>
  private(set) var pending: Set<LookupKey> = []
  private var results: [LookupKey: Lookup.Result] = [:]
  /// Questions that need no asking, because a denial of an earlier round may still be believed.
  private var believed: Set<LookupKey> = []
  /// When news are told without waiting for the rest.
  var tellAhead: Instant?

  /// - Parameter denied: types of which the name has no record for some time yet.
  init(
    names: [WireName], specification: DomainSpecification, source: DomainStatus.Source, denied: Set<RecordType> = [],
    since: Instant, tellAhead: Instant?
  ) {
    name = names.first ?? .root
    others = names.dropFirst()
    self.source = source
    record = source == .dns ? specification.record : .address
    asksText = source == .dns && specification.readsText
    self.since = since
    self.tellAhead = tellAhead
    deadline = since + max(specification.lookupTimeout, .milliseconds(10))
    let questions = firstQuestions
    // All denied is nothing to believe: somebody waits for such a name to come into being.
    if source == .dns, questions.contains(where: { $0.type != .txt && !denied.contains($0.type) }) {
      believed = Set(questions.filter { denied.contains($0.type) })
    }
    for key in believed { results[key] = .answered(.empty(.noSuchRecord, timeToLive: nil), server: nil) }
    pending = Set(questions).subtracting(believed)
  }

  private var firstQuestions: [LookupKey] {
    let types: [RecordType] = (record == .srv ? [.srv] : [.a, .aaaa]) + (asksText ? [.txt] : [])
    return types.map { LookupKey(name: name, type: $0) }
  }

  /// - Returns: further questions of this round; they are pending already.
  mutating func take(_ result: Lookup.Result, of key: LookupKey) -> [LookupKey] {
    pending.remove(key)
    results[key] = result
    var more: [LookupKey] = []
    if key.type == .srv, case .answered(.records(_, _, let additional), _) = result {
      let known = Set(additional.map(\.owner))
      for target in Set(places(in: result).map(\.target)) where !known.contains(target) && target.isHostName {
        more += [LookupKey(name: target, type: .a), LookupKey(name: target, type: .aaaa)]
      }
    } else if pending.isEmpty, isDenied, !believed.isEmpty {
      // The last record is gone: now it matters whether another type has come instead.
      more = Array(believed)
      for key in believed { results[key] = nil }
      believed = []
    } else if pending.isEmpty, isDenied, let next = others.popFirst() {
      name = next
      results = [:]
      more = firstQuestions
    }
    pending.formUnion(more)
    return more
  }

  /// What is not answered by now counts as a timeout.
  mutating func giveUp() {
    for key in pending { results[key] = .failed(.timedOut, detail: "", server: nil) }
    pending = []
  }

  /// Whether an authority says that there is nothing at this name.
  private var isDenied: Bool {
    firstQuestions.filter { $0.type != .txt }.allSatisfy { key in
      if case .answered(.empty, _) = results[key] { true } else { false }
    }
  }

  /// The denials that were asked for in this round, and how long the authority vouches for them.
  var denials: [(type: RecordType, timeToLive: Duration?)] {
    firstQuestions.compactMap { key in
      guard !believed.contains(key), case .answered(.empty(_, let timeToLive), _) = results[key] else { return nil }
      return (key.type, timeToLive.map { .seconds(Int64($0)) })
    }
  }

  /// The types of which the name has records.
  var answeredTypes: [RecordType] {
    firstQuestions.compactMap { if case .answered(.records, _) = results[$0] { $0.type } else { nil } }
  }

  /// Whether there are endpoints already that somebody may be waiting for.
  var hasNews: Bool {
    results.values.contains { result in
      guard case .answered(.records(let records, _, let additional), _) = result else { return false }
      return !additional.isEmpty || records.contains { if case .address = $0 { true } else { false } }
    }
  }

  // MARK: Text

  var text: Lookup.Result? { asksText ? results[LookupKey(name: name, type: .txt)] : nil }

  var textFailed: Bool { if case .failed = text { true } else { false } }

  var textTimeToLive: Duration? {
    if case .answered(.records(_, let timeToLive, _), _) = text { .seconds(Int64(timeToLive)) } else { nil }
  }

  /// What the TXT strings say; nil where they were not asked for or did not come.
  func attributes(_ ignored: inout [IgnoredText]) -> TextAttributes? {
    switch text {
    case .answered(.records(let records, _, _), _):
      let strings = records.flatMap { record -> [String] in if case .text(let strings) = record { strings } else { [] } }
      return TextAttributes(parsing: strings, ignored: &ignored)
    case .answered(.empty, _): return TextAttributes()
    case .failed, nil: return nil
    }
  }

  // MARK: Findings

  /// More records than endpoints could ever be used are not looked at: the first by tier, then name.
  private func places(in result: Lookup.Result) -> [Findings.Place] {
    guard case .answered(.records(let records, _, _), _) = result else { return [] }
    let services = records.compactMap { if case .service(let service) = $0, service.target != .root { service } else { nil } }
    return services.map { Findings.Place(target: $0.target, port: $0.port, tier: $0.priority, weight: $0.weight) }
      .sorted { ($0.tier, $0.target, $0.port ?? 0) < ($1.tier, $1.target, $1.port ?? 0) }
      .prefix(Endpoints.maximum).map { $0 }
  }

  /// - Parameters:
  ///   - ports: where the configuration's ports count.
  ///   - filter: see `WatchedDomain.Context`.
  func findings(ports: Set<UInt16>, filter: (_ addresses: [IPAddress], _ ports: Set<UInt16>) -> [IPAddress]) -> Findings {
    switch record {
    case .address:
      let own = Findings.Place(target: name)
      return Findings(
        places: .found([own], isDrained: false, timeToLive: .seconds(Int64(UInt32.max))),
        targets: [name: target(name, additional: [], ports: ports, filter)])
    case .srv:
      let result = results[LookupKey(name: name, type: .srv)] ?? .failed(.timedOut, detail: "", server: nil)
      switch result {
      case .failed(let failure, _, _): return Findings(places: .failed(failure))
      case .answered(.empty(_, let timeToLive), _):
        return Findings(places: .empty(timeToLive: timeToLive.map { .seconds(Int64($0)) }))
      case .answered(.records(let records, let timeToLive, let additional), _):
        let places = places(in: result)
        let isDrained = records.contains { if case .service(let service) = $0 { service.target == .root } else { false } }
        var targets: [WireName: Findings.Target] = [:]
        for place in places where targets[place.target] == nil {
          let ports = Set(places.filter { $0.target == place.target }.compactMap(\.port))
          targets[place.target] = target(
            place.target, additional: additional.filter { $0.owner == place.target }, ports: ports, filter)
        }
        return Findings(
          places: .found(places, isDrained: isDrained, timeToLive: .seconds(Int64(timeToLive))), targets: targets)
      }
    }
  }

  private func target(
    _ name: WireName, additional: [ResourceRecord], ports: Set<UInt16>,
    _ filter: (_ addresses: [IPAddress], _ ports: Set<UInt16>) -> [IPAddress]
  ) -> Findings.Target {
    func family(_ type: RecordType) -> Findings.Family {
      var addresses: [IPAddress] = []
      var timeToLive = Duration.seconds(Int64(UInt32.max))
      if additional.isEmpty {
        switch results[LookupKey(name: name, type: type)] {
        case .answered(.records(let records, let seconds, _), _):
          addresses = records.compactMap { if case .address(let address) = $0 { address } else { nil } }
          timeToLive = .seconds(Int64(seconds))
        case .answered(.empty(_, let seconds), _): return .empty(timeToLive: seconds.map { .seconds(Int64($0)) })
        case .failed(let failure, _, _): return .failed(failure)
        // A target that no one can be asked for.
        case nil: return .failed(.malformed)
        }
      } else {
        for record in additional {
          guard case .address(let address) = record.data, address.recordType == type else { continue }
          addresses.append(address)
          timeToLive = min(timeToLive, .seconds(Int64(record.timeToLive)))
        }
        if addresses.isEmpty { return .empty(timeToLive: nil) }
      }
      let passed = filter(addresses, ports)
      return passed.isEmpty ? .failed(.allRefused) : .addresses(passed, timeToLive: timeToLive)
    }
    return Findings.Target(a: family(.a), aaaa: family(.aaaa))
  }

  /// One line a question for the status, in a steady order.
  var questions: [DomainLedger.Question] {
    results.sorted { $0.key < $1.key }.prefix(DomainStatus.Part.maximum).map { DomainLedger.Question($0.key, $0.value) }
  }
}

extension IPAddress {
  var recordType: RecordType {
    switch self {
    case .v4: .a
    case .v6: .aaaa
    }
  }
}
