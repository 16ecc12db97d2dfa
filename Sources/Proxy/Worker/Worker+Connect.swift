import CLinux
import Glibc
import Model

/// From wanting a backend to having one, or to waiting for one.
extension Worker where E: ~Copyable {
  /// Keepalive for silence on an idle connection. The health checks know of a dead backend long before; this is for backends that
  /// nobody checks and for half-open leftovers.
  private static var keepaliveIdle: Int32 { 15 }
  private static var keepaliveInterval: Int32 { 5 }
  private static var keepaliveProbes: Int32 { 3 }
  /// How long sent bytes may stay unacknowledged. Not shorter, because the kernel also applies it to a peer that acknowledges but
  /// keeps its window shut, and a database that waits for a lock does that for a while.
  private static var unacknowledgedLimit: Int32 { 120_000 }

  mutating func wantBackend(_ index: SessionIndex) {
    let session = sessions[index]
    session.pointee.waitingSince = now
    // First come, first served: nobody overtakes those who are held.
    guard route(of: index).pointee.held.isEmpty else { return hold(index, allFailed: false) }
    tryNext(index)
  }

  /// Tries the next backend that this round has not asked. All asked, or none there: the session is held.
  mutating func tryNext(_ index: SessionIndex) {
    let session = sessions[index]
    let tried = session.pointee.tried
    let random = generator.next()
    guard !tried.isFull,
      let backend = route(of: index).pointee.balancer.pick(
        Balancer.Request(tried: tried, client: session.pointee.clientHash, random: random, now: now), load: { load(of: $0) })
    else { return hold(index, allFailed: tried.count > 0) }
    connect(index, to: backend)
  }

  private mutating func connect(_ index: SessionIndex, to backend: Int32) {
    let session = sessions[index]
    let slot = backends[backend]
    session.pointee.phase = .connecting
    join(index, backend)
    session.pointee.askedAt = now
    session.pointee.upstreamGeneration &+= 1
    guard let address = KernelAddress(slot.pointee.address) else { return attemptFailed(index, .connectUnreachable) }
    let descriptor = leba_stream_socket(address.family)
    guard descriptor >= 0 else { return attemptFailed(index, .local) }
    if !address.isUnix {
      leba_tune_tcp(descriptor, Self.keepaliveIdle, Self.keepaliveInterval, Self.keepaliveProbes)
      _ = leba_set_option(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Self.unacknowledgedLimit)
    }
    session.pointee.upstreamIsOpen = true
    engine.connect(descriptor, as: token(index, .upstream), to: address)
    deadlines.set(index, at: min(now + settings.connectTimeout, triesEnd(index)))
  }

  mutating func connected(_ token: Token) {
    guard let (index, _) = owner(of: token) else { return }
    let session = sessions[index]
    // No check of the routing table here: a change fences the connects in flight itself, so whoever is still connecting may connect.
    session.pointee.phase = .relaying
    session.pointee.lastActivity = now
    answered(index)
    deadlines.remove(index)
    if drain != nil { deadlines.set(index, at: now) }
    let route = route(of: index)
    if route.pointee.failover != nil { recordFirstConnection(index) }
    if !route.pointee.held.isEmpty {
      route.pointee.pacing.connectSucceeded(now: now)
      schedulePace(listener(of: index).pointee.route)
    }
    startRelay(index)
  }

  mutating func connectFailed(_ token: Token, _ error: Int32) {
    guard let (index, _) = owner(of: token) else { return }
    let address = backends[sessions[index].pointee.backend].pointee.address
    attemptFailed(index, RetryReason(connectError: error, to: address))
  }

  /// The backend it was given came to nothing, and no byte went either way: another one may be asked.
  mutating func attemptFailed(_ index: SessionIndex, _ reason: RetryReason) {
    let session = sessions[index]
    let backend = session.pointee.backend
    if let kind = reason.signal {
      signal(kind, backend)
      penalise(backend)
    }
    listener(of: index).pointee.retries[reason.ordinal] += 1
    deadlines.remove(index)
    session.pointee.tried.insert(backend)
    dropUpstream(index, reset: false)
    if now >= triesEnd(index) {
      closeCleanly(index, waitingOutcome(index))
    } else if reason == .local {
      // This host's own shortage: the other backends would fare no better.
      hold(index, allFailed: true)
    } else {
      tryNext(index)
    }
  }

  /// Closes the upstream socket, if there is one, and forgets the backend.
  mutating func dropUpstream(_ index: SessionIndex, reset: Bool) {
    let session = sessions[index]
    guard session.pointee.hasUpstream else { return }
    if session.pointee.upstreamIsOpen { engine.close(token(index, .upstream), reset: reset) }
    session.pointee.upstreamIsOpen = false
    leave(index)
  }

  /// When tries must end: hold timeout, but at least one connect timeout, or a group that does not hold could not connect either.
  private func triesEnd(_ index: SessionIndex) -> Instant {
    let patience = max(holdTimeout(of: index), settings.connectTimeout)
    let end = sessions[index].pointee.waitingSince + patience
    return drain.map { min($0.endsAt, end) } ?? end
  }

  func holdTimeout(of index: SessionIndex) -> Duration { groups[listener(of: index).pointee.group].pointee.holdTimeout }

  /// Why a session that found no backend ends.
  func waitingOutcome(_ index: SessionIndex) -> Outcome {
    now >= sessions[index].pointee.waitingSince + holdTimeout(of: index) ? .holdTimeout : .drained
  }

  func route(of index: SessionIndex) -> UnsafeMutablePointer<Route> { routes[listener(of: index).pointee.route] }
}
