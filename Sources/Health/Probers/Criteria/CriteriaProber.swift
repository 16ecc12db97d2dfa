import Model
import NIOCore

/// Asks all parts at the same time, and ends as soon as their answers decide.
///
/// A part whose answer is not needed any more is stopped, unless it is asking over a session that it keeps: that one may finish,
/// unheard, rather than be connected anew with each probe.
final class CriteriaProber: Prober {
  typealias MakeProber = (ProbeTarget, @escaping (ProberEvent) -> Void) -> any Prober

  private struct Part {
    var prober: (any Prober)?
    var isAsking = false
    var answer: CriteriaVerdict?
  }

  private let target: ProbeTarget
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private let make: MakeProber
  /// Nil where the criteria cannot be asked.
  private let tree: CriteriaTree?
  private let leaves: [CriteriaTree.Leaf]
  private var parts: [Part]
  private var isProbing = false
  private var sessionHasEnded = false
  private var silence: Scheduled<Void>?

  var keepsSession: Bool { parts.contains { $0.prober?.keepsSession == true } }

  init(
    _ criteria: Criteria, target: ProbeTarget, loop: any EventLoop, onEvent: @escaping (ProberEvent) -> Void,
    make: @escaping MakeProber
  ) {
    var leaves: [CriteriaTree.Leaf] = []
    tree = CriteriaTree(criteria, leaves: &leaves)
    self.leaves = leaves
    self.target = target
    self.loop = loop
    self.onEvent = onEvent
    self.make = make
    parts = leaves.map { _ in Part() }
  }

  deinit { silence?.cancel() }

  func begin() {
    isProbing = true
    sessionHasEnded = false
    guard let tree else {
      loop.assumeIsolated().execute { [weak self] in self?.end(.failed(Self.malformed)) }
      return
    }
    if tree.containsNot { listenForSilence() }
    for number in parts.indices { parts[number].answer = nil }
    for number in parts.indices where isProbing { ask(number) }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    timeOutParts(after: timeout)
    let verdict = tree?.verdict(parts.map(\.answer))
    endProbe()
    if case .failed(let failure)? = verdict { return failure }
    return ProbeFailure(.timedOut, "no answer within \(timeout.text)")
  }

  func stop() {
    isProbing = false
    silence?.cancel()
    silence = nil
    for number in parts.indices { stop(number) }
  }

  private static let malformed = ProbeFailure(.badResponse, "the criteria are empty or nested too deeply")

  private func ask(_ number: Int) {
    // Still asked since the last probe, which did not need the answer: it counts for this one.
    if parts[number].isAsking { return }
    guard let address = target.address.with(port: leaves[number].port) else {
      answered(number, .failed(ProbeFailure(.badResponse, "a unix socket has no other port")))
      return
    }
    let prober = parts[number].prober ?? makePart(number, at: address)
    parts[number].prober = prober
    parts[number].isAsking = true
    prober.begin()
  }

  private func makePart(_ number: Int, at address: Model.SocketAddress) -> any Prober {
    var check = target.check
    check.kind = leaves[number].kind
    // Only the port that clients use is known to expect a header.
    if leaves[number].port != nil { check.proxyProtocol = nil }
    return make(ProbeTarget(member: target.member, address: address, check: check)) { [weak self] event in
      self?.received(event, from: number)
    }
  }

  private func received(_ event: ProberEvent, from number: Int) {
    switch event {
    case .passed(let role, let replication):
      answered(number, .passed(role, replication))
    case .failed(let failure, let sessionEnded):
      sessionHasEnded = sessionHasEnded || sessionEnded
      answered(number, .failed(failure))
    case .sessionEnded(let failure):
      forgetIdle(number)
      sessionHasEnded = true
      parts[number].answer = .failed(failure)
      if isProbing { decide() } else { tell(failure: failure) }
    case .sessionClosed:
      forgetIdle(number)
      if !isProbing { onEvent(.sessionClosed) }
    }
  }

  private func answered(_ number: Int, _ answer: CriteriaVerdict) {
    parts[number].isAsking = false
    forgetIdle(number)
    guard isProbing else { return }
    parts[number].answer = answer
    decide()
  }

  private func decide() {
    guard isProbing, let verdict = tree?.verdict(parts.map(\.answer)) else { return }
    end(verdict)
  }

  /// A part's session broke between two probes: with what the others said last, that may be the end of the whole.
  private func tell(failure: ProbeFailure) {
    if case .failed(let whole)? = tree?.verdict(parts.map(\.answer)) {
      onEvent(.sessionEnded(whole))
    } else {
      onEvent(.sessionClosed)
    }
  }

  private func end(_ verdict: CriteriaVerdict) {
    guard isProbing else { return }
    endProbe()
    switch verdict {
    case .passed(let role, let replication): onEvent(.passed(role, replication))
    case .failed(let failure): onEvent(.failed(failure, sessionEnded: sessionHasEnded))
    }
  }

  private func endProbe() {
    isProbing = false
    silence?.cancel()
    silence = nil
    for number in parts.indices where parts[number].isAsking && parts[number].prober?.keepsSession != true { stop(number) }
  }

  private func stop(_ number: Int) {
    let prober = parts[number].prober
    parts[number].prober = nil
    parts[number].isAsking = false
    prober?.stop()
  }

  private func forgetIdle(_ number: Int) {
    if parts[number].prober?.keepsSession != true { parts[number].prober = nil }
  }

  // MARK: Silence

  /// `not` passes when its part does not answer, so the silence must be heard before the probe's time is over.
  private func listenForSilence() {
    let limit = target.check.timeout * 9 / 10
    silence = loop.assumeIsolated().scheduleTask(deadline: (Instant.now + limit).deadline) { [weak self] in
      guard let self, self.isProbing else { return }
      self.timeOutParts(after: limit)
      self.decide()
    }
  }

  private func timeOutParts(after timeout: Duration) {
    for number in parts.indices where parts[number].isAsking {
      parts[number].isAsking = false
      if let failure = parts[number].prober?.timeOut(after: timeout) { parts[number].answer = .failed(failure) }
      forgetIdle(number)
    }
  }
}

extension Model.SocketAddress {
  /// Nil for a port of what has none.
  fileprivate func with(port: UInt16?) -> Model.SocketAddress? {
    guard let port else { return self }
    switch self {
    case .ip(let address, _): return .ip(address, port: port)
    case .unix: return nil
    }
  }
}
