import Model

/// A second connect for a session whose first one takes long: a lost SYN is sent again only after a second. Whichever connects first is
/// used and the other one given up, before a byte was sent on either.
extension Worker where E: ~Copyable {
  /// To another backend that may be asked, or where there is none, as in an active-passive group, to the same once more.
  mutating func hedge(_ index: SessionIndex) {
    let session = sessions[index]
    var tried = session.pointee.tried
    tried.insert(session.pointee.backend)
    let role = listener(of: index).pointee.role
    let same = mayTake(session.pointee.backend, role) ? session.pointee.backend : nil
    // No room for a second one, or no socket: the first goes on alone.
    guard let backend = pick(for: index, besides: tried) ?? same,
      let address = KernelAddress(backends[backend].pointee.address), let descriptor = upstreamSocket(address)
    else { return }
    joinHedge(index, backend)
    session.pointee.hedgedAt = now
    listener(of: index).pointee.retries[RetryReason.hedge.ordinal] += 1
    engine.connect(descriptor, as: hedgeToken(index), to: address)
  }

  mutating func hedgeConnected(_ index: SessionIndex) {
    guard hedgeTakesOver(index) else { return dropHedge(index) }
    upstreamConnected(index)
  }

  mutating func hedgeFailed(_ index: SessionIndex, _ reason: RetryReason) {
    let session = sessions[index]
    note(reason, of: session.pointee.hedge)
    if session.pointee.hedge != session.pointee.backend { session.pointee.tried.insert(session.pointee.hedge) }
    dropHedge(index)
  }

  /// The second connect becomes the session's own and the first is given up. False where there is none, or its backend serves no longer.
  mutating func hedgeTakesOver(_ index: SessionIndex) -> Bool {
    let session = sessions[index]
    let backend = session.pointee.hedge
    guard backend != .noSlot, backends[backend].pointee.standing[listener(of: index).pointee.role] == .serve,
      now < triesEnd(index)
    else { return false }
    engine.close(token(index, .upstream), reset: false)
    leave(index)
    session.pointee.isIntroducing = false
    session.pointee.upstreamIsSecond.toggle()
    session.pointee.upstreamGeneration &+= 1
    session.pointee.askedAt = session.pointee.hedgedAt
    join(index, backend)
    leaveHedge(index)
    deadlines.set(index, at: connectEnd(index))
    return true
  }

  mutating func dropHedge(_ index: SessionIndex) {
    guard sessions[index].pointee.hedge != .noSlot else { return }
    engine.close(hedgeToken(index), reset: false)
    leaveHedge(index)
  }
}
