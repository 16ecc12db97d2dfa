import Model

/// The probes in flight that are a connect and nothing else, and wait for an answer: no prober, no closure and no place in a dictionary for each,
/// because in a large plan there are thousands of them a second.
struct PlainConnects {
  typealias Number = ProbeSchedule.Number

  struct Connect {
    var probe: Activity.Probe
    let ticket: Connector.Ticket
  }

  private var connects: [Connect?] = []
  private var vacant: [UInt32] = []
  /// By member: one more than its place in `connects`; zero where it has none.
  private var places: [UInt32] = []

  var count: Int { connects.count - vacant.count }
  var numbers: [Number] { places.indices.filter { places[$0] > 0 }.map(Number.init) }

  subscript(number: Number) -> Connect? { place(of: number).flatMap { connects[$0] } }

  mutating func add(_ connect: Connect, of number: Number) {
    while places.count <= Int(number) { places.append(0) }
    if let reused = vacant.popLast() {
      connects[Int(reused)] = connect
      places[Int(number)] = reused + 1
    } else {
      connects.append(connect)
      places[Int(number)] = UInt32(connects.count)
    }
  }

  mutating func setWatched(_ isWatched: Bool, _ number: Number) {
    if let place = place(of: number) { connects[place]?.probe.isWatched = isWatched }
  }

  mutating func remove(_ number: Number) -> Connect? {
    guard let place = place(of: number) else { return nil }
    places[Int(number)] = 0
    vacant.append(UInt32(place))
    return connects[place]
  }

  private func place(of number: Number) -> Int? {
    Int(number) < places.count && places[Int(number)] > 0 ? Int(places[Int(number)]) - 1 : nil
  }
}

extension HealthCheck {
  /// Between probes of frequent checks a connection is kept, where somebody asked for it (see `TCPProber`).
  var wantsSentinel: Bool { keepsSentinel && interval <= TCPProber.longestInterval }

  /// A TCP probe that keeps nothing.
  var isPlainConnect: Bool { if case .tcp = kind { !wantsSentinel } else { false } }

  /// Whether a refused connect is as good as a failed probe. Not where it is the probe, and not of programs and criteria, which may ask somebody else.
  var mayKnock: Bool {
    switch kind {
    case .tls, .http, .postgres, .mysql, .redis: true
    case .tcp, .exec, .criteria: false
    }
  }
}

extension ProbeFailure {
  static func noConnection(within timeout: Duration) -> ProbeFailure {
    ProbeFailure(.timedOut, "no connection within \(timeout.text)")
  }
}
