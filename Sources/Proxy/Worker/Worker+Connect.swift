import CLinux
import Glibc
import Model

/// From wanting a backend to having one, or to waiting for one.
extension Worker where E: ~Copyable {
  /// Keepalive for silence on an idle connection. The health checks know of a dead backend long before; this is for backends that
  /// nobody checks and for half-open leftovers.
  private static var keepaliveIdle: Int32 { 15 }
  private static var keepaliveInterval: Int32 { 5 }
  /// How long sent bytes, or keepalive's probes, may stay unacknowledged. Not shorter, because the kernel also applies it to a peer that acknowledges but
  /// keeps its window shut, and a database that waits for a lock does that for a while.
  private static var unacknowledgedLimit: Int32 { 120_000 }

  mutating func wantBackend(_ index: SessionIndex) {
    let session = sessions[index]
    session.pointee.waitingSince = now
    // First come, first served: nobody overtakes those who are held.
    guard route(of: index).pointee.held.isEmpty else { return hold(index, .behindOthers) }
    tryNext(index)
  }

  /// Tries the next backend that this round has not asked. All asked, or none there: the session is held.
  mutating func tryNext(_ index: SessionIndex) {
    let tried = sessions[index].pointee.tried
    guard !tried.isFull, let backend = pick(for: index, besides: tried) else {
      return hold(index, tried.count > 0 ? .allFailed : .noPlace)
    }
    connect(index, to: backend)
  }

  mutating func pick(for index: SessionIndex, besides tried: TriedBackends) -> Int32? {
    let listener = listener(of: index)
    let role = listener.pointee.role
    let group = groups[listener.pointee.group]
    let request = Balancer.Request(
      tried: tried, client: sessions[index].pointee.clientHash, random: generator.next(), now: now,
      mustAsk: group.pointee.isChanging || group.pointee.connectionLimit != .max)
    return routes[listener.pointee.route].pointee.balancer.pick(
      request, mayTake: { mayTake($0, role) }, load: { load(of: $0) })
  }

  private mutating func connect(_ index: SessionIndex, to backend: Int32) {
    let session = sessions[index]
    session.pointee.phase = .connecting
    join(index, backend)
    session.pointee.askedAt = now
    // By two: the number between is for a hedge.
    session.pointee.upstreamGeneration &+= 2
    guard let address = KernelAddress(backends[backend].pointee.address) else { return attemptFailed(index, .connectUnreachable) }
    guard let descriptor = upstreamSocket(address) else { return attemptFailed(index, .local) }
    session.pointee.upstreamIsOpen = true
    engine.connect(descriptor, as: token(index, .upstream), to: address)
    let hedge = groups[listener(of: index).pointee.group].pointee.connections.hedge
    // A unix socket connects at once or not at all.
    let mayHedge = hedge > .zero && !address.isUnix
    deadlines.set(index, at: mayHedge ? min(now + hedge, connectEnd(index)) : connectEnd(index))
  }

  /// With all that a socket to a backend needs to notice silence; nil when this host has none to give.
  func upstreamSocket(_ address: KernelAddress) -> Int32? {
    let descriptor = leba_stream_socket(address.family)
    guard descriptor >= 0 else { return nil }
    if !address.isUnix {
      leba_tune_tcp(descriptor, Self.keepaliveIdle, Self.keepaliveInterval, 0)
      _ = leba_set_option(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Self.unacknowledgedLimit)
      if address.isLoopback { leba_use_reno(descriptor) }
    }
    return descriptor
  }

  /// When the connect that is under way must have come to something.
  func connectEnd(_ index: SessionIndex) -> Instant {
    min(sessions[index].pointee.askedAt + settings.connectTimeout, triesEnd(index))
  }

  /// The deadline of a connect has passed, or that of its mistrust.
  mutating func connectTakesLong(_ index: SessionIndex) {
    if sessions[index].pointee.waitsForTrust { return trustAgain(index) }
    let end = connectEnd(index)
    guard now < end else { return attemptFailed(index, .connectTimedOut) }
    if !sessions[index].pointee.isIntroducing { hedge(index) }
    deadlines.set(index, at: end)
  }

  mutating func connected(_ token: Token) {
    if let index = hedger(of: token) { return hedgeConnected(index) }
    guard let (index, _) = owner(of: token) else { return }
    dropHedge(index)
    upstreamConnected(index)
  }

  mutating func upstreamConnected(_ index: SessionIndex) {
    guard servesStill(index) else { return attemptFailed(index, .fenced) }
    answered(index)
    if !mustWaitForTrust(index) { beginSession(index) }
  }

  mutating func beginSession(_ index: SessionIndex) {
    if let version = groups[listener(of: index).pointee.group].pointee.connections.proxyProtocol {
      introduce(index, version)
    } else {
      beginRelay(index)
    }
  }

  /// A change fences the connects in flight when it comes to them; one may be faster than that.
  @inline(__always) private func servesStill(_ index: SessionIndex) -> Bool {
    backends[sessions[index].pointee.backend].pointee.standing[listener(of: index).pointee.role] == .serve
  }

  mutating func beginRelay(_ index: SessionIndex) {
    guard servesStill(index) else { return attemptFailed(index, .fenced) }
    let session = sessions[index]
    let listener = listener(of: index)
    session.pointee.phase = .relaying
    session.pointee.lastActivity = now
    deadlines.remove(index)
    if drain != nil || listener.pointee.limitsLifetime { deadlines.set(index, at: now) }
    let route = routes[listener.pointee.route]
    if session.pointee.wasHeld { recordHold(index) }
    if route.pointee.failover != nil { recordFirstConnection(index) }
    if !route.pointee.held.isEmpty {
      route.pointee.pacing.connectSucceeded(now: now)
      schedulePace(listener.pointee.route)
    }
    startRelay(index)
  }

  mutating func connectFailed(_ token: Token, _ error: Int32) {
    func reason(_ backend: Int32) -> RetryReason { RetryReason(connectError: error, to: backends[backend].pointee.address) }
    if let index = hedger(of: token) { return hedgeFailed(index, reason(sessions[index].pointee.hedge)) }
    guard let (index, _) = owner(of: token) else { return }
    attemptFailed(index, reason(sessions[index].pointee.backend))
  }

  /// The backend it was given came to nothing, and no byte went either way: another one may be asked.
  mutating func attemptFailed(_ index: SessionIndex, _ reason: RetryReason) {
    let session = sessions[index]
    let backend = session.pointee.backend
    note(reason, of: backend)
    listener(of: index).pointee.retries[reason.ordinal] += 1
    session.pointee.tried.insert(backend)
    if hedgeTakesOver(index) { return }
    deadlines.remove(index)
    dropUpstream(index, reset: false)
    if now >= triesEnd(index) {
      closeCleanly(index, waitingOutcome(index))
    } else if reason == .local {
      // This host's own shortage: the other backends would fare no better.
      hold(index, .allFailed)
    } else {
      tryNext(index)
    }
  }

  /// What a connect tells of the backend.
  mutating func note(_ reason: RetryReason, of backend: Int32) {
    guard let kind = reason.signal else { return }
    signal(kind, backend)
    penalise(backend)
  }

  /// Closes the upstream socket, if there is one, and forgets the backend.
  mutating func dropUpstream(_ index: SessionIndex, reset: Bool) {
    let session = sessions[index]
    dropHedge(index)
    guard session.pointee.hasUpstream else { return }
    session.pointee.isIntroducing = false
    session.pointee.waitsForTrust = false
    if session.pointee.upstreamIsOpen { engine.close(token(index, .upstream), reset: reset) }
    session.pointee.upstreamIsOpen = false
    leave(index)
  }

  /// When tries must end: hold timeout, but at least one connect timeout, or a group that does not hold could not connect either.
  func triesEnd(_ index: SessionIndex) -> Instant {
    let patience = max(holdTimeout(of: index), settings.connectTimeout)
    let end = sessions[index].pointee.waitingSince + patience
    return drain.map { min($0.endsAt, end) } ?? end
  }

  func holdTimeout(of index: SessionIndex) -> Duration { groups[listener(of: index).pointee.group].pointee.holdTimeout }

  /// Why a session that found no backend ends.
  func waitingOutcome(_ index: SessionIndex) -> Outcome {
    now >= sessions[index].pointee.waitingSince + holdTimeout(of: index) ? .holdTimeout : .drained
  }

  @inline(__always) func route(of index: SessionIndex) -> UnsafeMutablePointer<Route> { routes[listener(of: index).pointee.route] }
}
