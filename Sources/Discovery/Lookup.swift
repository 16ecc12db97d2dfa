import Model

/// One question put to the name servers until one of them answers it. Pure; the loop carries out its actions.
///
/// A server that is silent for the length of a try is not given up: the next one is asked, and whoever answers first is
/// believed. So a slow server costs nothing but a packet, and a dead one costs one try. A server that answered with
/// an error is not asked again by this lookup (RFC 9520). The length of a try doubles with each round over the servers.
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
    case answered(DNSAnswer, server: SocketAddress)
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

    var rounds: Int
    var tryTimeout: Duration

    init(_ settings: ResolverSettings) {
      rounds = min(max(settings.retryAttempts, 0), Self.maximumRounds - 1) + 1
      tryTimeout = min(max(settings.timeout, .milliseconds(10)), .seconds(60))
    }
  }

  private enum State: Sendable {
    /// When the last of `tries` ends, the next is begun. It never ends after the deadline.
    case asking
    case finished
  }

  private struct Try: Sendable {
    let server: SocketAddress
    let ends: Instant
    var isOpen = true
  }

  private let servers: [SocketAddress]
  private let plan: Plan
  private let deadline: Instant
  private var state = State.asking
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
    case .asking: tries.last?.ends ?? deadline
    case .finished: nil
    }
  }

  mutating func start(now: Instant) -> Action { askNext(now) }

  mutating func tick(now: Instant, scores: inout ServerScores) -> Action {
    guard case .asking = state, let last = tries.last, last.ends <= now else { return .wait }
    if last.isOpen {
      note(.timedOut, "", last.server)
      scores.failed(last.server, now: now)
    }
    if now < deadline {
      let action = askNext(now)
      if action != .wait { return action }
    }
    return fail()
  }

  mutating func received(_ reply: Reply, tryNumber: Int, now: Instant, scores: inout ServerScores) -> Action {
    guard case .asking = state, tries.indices.contains(tryNumber), tries[tryNumber].isOpen else { return .wait }
    let server = tries[tryNumber].server
    tries[tryNumber].isOpen = false
    switch reply {
    case .answer(let answer):
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
    return tries[tries.count - 1].isOpen ? .wait : askNext(now)
  }

  private mutating func askNext(_ now: Instant) -> Action {
    while place < servers.count * plan.rounds {
      let server = servers[place % servers.count]
      let round = place / servers.count
      place += 1
      guard !excluded.contains(server) else { continue }
      tries.append(Try(server: server, ends: min(now + plan.tryTimeout * (1 << round), deadline)))
      return .ask(server, tryNumber: tries.count - 1)
    }
    return tries.contains(where: \.isOpen) ? .wait : fail()
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
