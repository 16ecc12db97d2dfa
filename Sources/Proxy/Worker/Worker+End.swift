import Glibc
import Model
import Threads

/// The ways out. Every accepted connection comes through `finish`, which counts it, exactly once.
extension Worker where E: ~Copyable {
  /// How long a client may take to end its stream after we ended ours. What it says meanwhile is dropped; without this wait, a close
  /// over unread bytes would turn our orderly end into a reset.
  private static var lingering: Duration { .seconds(1) }

  /// Ends both sides in good order: for a session in which nothing is in flight.
  mutating func closeCleanly(_ index: SessionIndex, _ outcome: Outcome) {
    let session = sessions[index]
    let client = token(index, .client)
    session.pointee.outcome = outcome
    leaveQueue(index)
    dropUpstream(index, reset: false)
    if session.pointee.toUpstream.state == .ended { return finish(index, reset: false) }
    let wasPeeking = session.pointee.phase == .waitingForFirstByte
    let wasReceiving = session.pointee.toUpstream.state == .receiving
    if let dropped = session.pointee.toUpstream.drop() { engine.recycle(dropped) }
    session.pointee.phase = .closing
    engine.shutdownSending(client)
    if wasPeeking { engine.cancelReceive(client) }
    if !wasReceiving { engine.receive(client) }
    deadlines.set(index, at: now + Self.lingering)
  }

  /// Ends both sides at once: when both ended themselves, when the client is gone, or with a reset, because what was cut short must
  /// not look complete.
  mutating func forget(_ index: SessionIndex, _ outcome: Outcome, reset: Bool = false) {
    sessions[index].pointee.outcome = outcome
    finish(index, reset: reset)
  }

  mutating func finish(_ index: SessionIndex, reset: Bool) {
    let session = sessions[index]
    let listener = listener(of: index)
    leaveQueue(index)
    deadlines.remove(index)
    dropUpstream(index, reset: reset)
    if session.pointee.clientIsOpen { engine.close(token(index, .client), reset: reset) }
    if let dropped = session.pointee.toUpstream.drop() { engine.recycle(dropped) }
    if let dropped = session.pointee.toClient.drop() { engine.recycle(dropped) }
    let listenerWasFull = listener.pointee.isFull
    listener.pointee.active -= 1
    listener.pointee.ended[session.pointee.outcome.ordinal] += 1
    let wasFull = sessions.isFull
    let number = session.pointee.listener
    sessions.give(index)
    if wasFull { resumeAcceptingEverywhere() } else if listenerWasFull { resumeAccepting(number) }
  }

  /// Its surroundings changed, or a deadline of an earlier look passed: may it stay?
  mutating func reconsider(_ index: SessionIndex) {
    let session = sessions[index]
    var circumstances = Departure.Circumstances(
      standing: .serve, standingSince: now, demotedDeadline: settings.demotedDeadline, drainTimeout: .zero,
      processEndsAt: drain?.endsAt, idleTimeout: listener(of: index).pointee.idleTimeout,
      expiresAt: listener(of: index).pointee.maximumDuration.map { session.pointee.acceptedAt + $0 })
    if session.pointee.hasUpstream {
      let backend = backends[session.pointee.backend]
      let role = listener(of: index).pointee.role
      circumstances.standing = backend.pointee.standing[role]
      circumstances.standingSince = activities[backend.pointee.activity].pointee.standingSince[role.ordinal]
      circumstances.drainTimeout = groups[backend.pointee.group].pointee.drainTimeout
    }
    let busy = session.pointee.awaitsAnswer || session.pointee.bytesPending
    switch Departure.decide(circumstances, busy: busy, lastActivity: session.pointee.lastActivity, now: now) {
    case .stay: break
    case .lookAgain(let at): deadlines.set(index, at: at)
    case .closeCleanly(let outcome): closeCleanly(index, outcome)
    case .reset(let outcome): forget(index, outcome, reset: true)
    }
  }

  /// New connections are over; what is there goes on until it ends, falls quiet, or runs out of time.
  mutating func beginDrain(_ requested: ProcessDrain, listeners end: ListenerEnd = .refuse) {
    let endsAt = drain.map { min($0.endsAt, requested.endsAt) } ?? requested.endsAt
    drain = ProcessDrain(endsAt: endsAt, whenDrained: (drain?.whenDrained ?? []) + requested.whenDrained)
    for number in listeners.numbers { closeListener(number, end) }
    for index in 0..<sessions.used {
      switch sessions[index].pointee.phase {
      case .relaying, .waitingForFirstByte: deadlines.set(index, at: now)
      case .held:
        let deadline = sessions[index].pointee.waitingSince + holdTimeout(of: index)
        deadlines.set(index, at: min(deadline, endsAt))
      case .connecting, .closing, .free: break
      }
    }
  }

  /// The thread is about to end. Whoever still waits for an answer from it gets one.
  mutating func endEverything() -> WorkerStatistics {
    for number in listeners.numbers where listeners[number].pointee.isOpen {
      engine.closeListener(listenerToken(number))
      listenerClosed(number)
    }
    for index in 0..<sessions.used where sessions[index].pointee.phase != .free {
      let session = sessions[index].pointee
      let busy = session.phase == .relaying && (session.awaitsAnswer || session.bytesPending)
      if session.phase == .closing { finish(index, reset: false) } else { forget(index, .stopped, reset: busy) }
    }
    for callback in drain?.whenDrained ?? [] { callback() }
    drain = nil
    let last = statistics()
    for command in mailbox.close() {
      switch command {
      case .addListener(_, let socket, let reply):
        close(socket.descriptor)
        reply.fulfil(EngineError(operation: "adding a listener", errno: ECANCELED))
      case .replaceListener(_, _, let reply): reply.fulfil(EngineError(operation: "replacing a listener", errno: ECANCELED))
      case .copyListeners(let reply): reply.fulfil([])
      case .removeListener(_, let reply): reply.fulfil(())
      case .reportStatistics(let reply): reply.fulfil(last)
      case .drain(_, _, let whenDrained): whenDrained()
      case .apply, .mistrust, .startAccepting, .stop: break
      }
    }
    return last
  }

  func statistics() -> WorkerStatistics {
    var result = WorkerStatistics(acceptPauses: acceptPauses)
    for number in listeners.numbers {
      result.listeners.append(listeners[number].pointee)
    }
    for number in backends.numbers where backends[number].pointee.activity != .noSlot {
      let backend = backends[number]
      for (listener, count) in activities[backend.pointee.activity].pointee.byListener {
        result.backends.append((listeners[listener].pointee.name, backend.pointee.name, count))
      }
    }
    for number in groups.numbers where groups[number].pointee.hasRoutes {
      let group = groups[number]
      let routes = ListenerRole.allCases.map { group.pointee.routes[$0.ordinal] }.filter { $0 != .noSlot }
      let count = routes.reduce(0) { $0 + self.routes[$1].pointee.held.count }
      if count > 0 { result.held.append((group.pointee.name, count)) }
    }
    result.holdTimes = holdTimes.map { (groups[$0].pointee.name, $1) }
    result.phases = phases.map { (groups[$0].pointee.name, $1) }
    return result
  }
}
