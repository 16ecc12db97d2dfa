import Model

/// One question put to the name servers until one of them answers it. Pure; the loop carries out its actions.
///
/// A second server is asked after a short delay, and the next ones whenever a try has lasted its time. Nobody is given up:
/// whoever answers first is believed. So a slow server costs nothing but a packet, and a dead one costs one delay, once. A server
/// that answered with an error is not asked again by this lookup (RFC 9520). The length of a try doubles with each round over
/// the servers.
struct Lookup: Sendable {
  /// What came of a try.
  enum Reply: Hashable, Sendable {
    case answer(DNSAnswer)
    /// The server spoke, and what it said is no answer.
    case error(AnswerError)
    /// Nobody is there: a refused connection, no route, no socket.
    case unreachable
    /// c-ares gave up by itself.
    case timedOut
  }

  enum Result: Hashable, Sendable {
    /// `server` is nil where none had to be asked.
    case answered(DNSAnswer, server: SocketAddress?)
    /// `detail` is for people; empty when the kind says it all.
    case failed(DNSFailure, detail: String, server: SocketAddress?)
  }

  enum Action: Hashable, Sendable {
    case ask(SocketAddress, tryNumber: Int)
    case wait
    /// The last word. The tries that are still open must be ended.
    case finish(Result)
  }

  /// Settings of the tries; see `ResolverSettings`.
  struct Plan: Hashable, Sendable {
    static let maximumRounds = 10
    static let longestRaceDelay = Duration.milliseconds(100)

    var rounds: Int
    var tryTimeout: Duration
    /// Until a second server is asked.
    var raceDelay: Duration

    init(_ settings: ResolverSettings) {
      rounds = min(max(settings.retryAttempts, 0), Self.maximumRounds - 1) + 1
      tryTimeout = min(max(settings.timeout, .milliseconds(10)), .seconds(60))
      raceDelay = min(tryTimeout / 3, Self.longestRaceDelay)
    }
  }

  private enum State: Sendable {
    /// At `nextAsk` another server is asked; nil when none is left.
    case asking(nextAsk: Instant?)
    case finished
  }

  private struct Try: Sendable {
    let server: SocketAddress
    let ends: Instant
    /// Its answer is still welcome.
    var isOpen = true
    /// It has lasted its time.
    var isOverdue = false

    var isAwaited: Bool { isOpen && !isOverdue }
  }

  private let servers: [SocketAddress]
  private let plan: Plan
  private let deadline: Instant
  private var state = State.asking(nextAsk: nil)
  private var tries: [Try] = []
  /// The next place in the sequence of all servers, `plan.rounds` times over.
  private var place = 0
  private var excluded: Set<SocketAddress> = []
  /// The most telling failure so far.
  private var failure: (kind: DNSFailure, detail: String, server: SocketAddress)?

  init(servers: [SocketAddress], plan: Plan, deadline: Instant) {
    self.servers = servers
    self.plan = plan
    self.deadline = deadline
  }

  /// When `tick` must be called at the latest; nil once finished.
  var nextTick: Instant? {
    switch state {
    case .asking(let nextAsk): (tries.filter(\.isAwaited).map(\.ends) + [nextAsk].compactMap { $0 }).min() ?? deadline
    case .finished: nil
    }
  }

  mutating func start(now: Instant) -> Action { askNext(now) }

  mutating func tick(now: Instant, scores: inout ServerScores) -> Action {
    guard case .asking(let nextAsk) = state else { return .wait }
    for index in tries.indices where tries[index].isAwaited && tries[index].ends <= now {
      tries[index].isOverdue = true
      note(.timedOut, "", tries[index].server)
      scores.failed(tries[index].server, now: now)
    }
    if now >= deadline { return fail() }
    if let nextAsk, nextAsk <= now { return askNext(now) }
    return nextAsk == nil && !tries.contains(where: \.isAwaited) ? fail() : .wait
  }

  mutating func received(_ reply: Reply, tryNumber: Int, now: Instant, scores: inout ServerScores) -> Action {
    guard case .asking = state, tries.indices.contains(tryNumber), tries[tryNumber].isOpen else { return .wait }
    let server = tries[tryNumber].server
    tries[tryNumber].isOpen = false
    switch reply {
    case .answer(let answer):
      // Those that were asked before and have not answered yet lost the race: the next lookup begins with this one.
      for earlier in tries[..<tryNumber] where earlier.isAwaited { scores.failed(earlier.server, now: now) }
      scores.answered(server)
      state = .finished
      return .finish(.answered(answer, server: server))
    case .error(let error):
      // It is alive: a wrong answer about one name says little about the next.
      scores.answered(server)
      excluded.insert(server)
      note(error.failure, error.detail, server)
    case .unreachable:
      scores.failed(server, now: now)
      excluded.insert(server)
      note(.noServer, "nobody answers there", server)
    case .timedOut:
      scores.failed(server, now: now)
      note(.timedOut, "", server)
    }
    // An older try that ends changes nothing while a younger one is under way.
    return tries[tries.count - 1].isAwaited ? .wait : askNext(now)
  }

  private mutating func askNext(_ now: Instant) -> Action {
    while place < servers.count * plan.rounds {
      let server = servers[place % servers.count]
      let round = place / servers.count
      place += 1
      guard !excluded.contains(server) else { continue }
      let attempt = Try(server: server, ends: min(now + plan.tryTimeout * (1 << round), deadline))
      tries.append(attempt)
      // Only the first two race: where two are silent, more packets are no help.
      let isRace = tries.count == 1 && servers.count > 1
      state = .asking(nextAsk: isRace ? min(now + plan.raceDelay, attempt.ends) : attempt.ends)
      return .ask(server, tryNumber: tries.count - 1)
    }
    state = .asking(nextAsk: nil)
    return tries.contains(where: \.isAwaited) ? .wait : fail()
  }

  private mutating func fail() -> Action {
    state = .finished
    guard let failure else { return .finish(.failed(.noServer, detail: "", server: nil)) }
    return .finish(.failed(failure.kind, detail: failure.detail, server: failure.server))
  }

  /// What a server said tells more than its silence, and silence more than its absence. The first of a kind stands.
  private mutating func note(_ kind: DNSFailure, _ detail: String, _ server: SocketAddress) {
    func weight(_ kind: DNSFailure) -> Int {
      switch kind {
      case .noServer: 0
      case .timedOut: 1
      case .serverFailure, .refused, .malformed, .allRefused, .other: 2
      }
    }
    if let failure, weight(failure.kind) >= weight(kind) { return }
    failure = (kind, detail, server)
  }
}
