import Glibc
import Model

/// Bytes both ways, and how a stream ends.
extension Worker where E: ~Copyable {
  mutating func startRelay(_ index: SessionIndex) {
    let session = sessions[index]
    perform(session.pointee.toClient.start(), index, from: .upstream)
    // After a retry the flow from the client may hold bytes already, or even the end.
    switch session.pointee.toUpstream.state {
    case .idle: perform(session.pointee.toUpstream.start(), index, from: .client)
    case .receiving: break
    case .sending:
      session.pointee.awaitsAnswer = true
      session.pointee.askedAt = now
      perform(.send, index, from: .client)
    case .ended: perform(.passEndOn, index, from: .client)
    }
  }

  mutating func received(_ token: Token, _ buffer: Buffer, _ count: Int) {
    guard let (index, side) = owner(of: token) else { return engine.recycle(buffer) }
    let session = sessions[index]
    let listener = listener(of: index)
    switch side {
    case .client: listener.pointee.received &+= UInt64(count)
    case .upstream: session.pointee.isCommitted = true
    }
    switch session.pointee.phase {
    case .relaying:
      session.pointee.lastActivity = now
      switch (side, session.pointee.awaitsAnswer) {
      case (.client, false): session.pointee.askedAt = now
      case (.upstream, true) where listener.pointee.clientSpeaksFirst: answered(index)
      case (.client, true), (.upstream, _): break
      }
      session.pointee.awaitsAnswer = side == .client
      perform(session.pointee[flowFrom: side].received(buffer, count: count), index, from: side)
    case .connecting, .held:
      // A receive from before the retry. The bytes stay where they are until there is somebody to send them to.
      _ = session.pointee.toUpstream.received(buffer, count: count)
    case .closing:
      engine.recycle(buffer)
      engine.receive(token)
    case .waitingForFirstByte, .free:
      engine.recycle(buffer)
    }
  }

  mutating func sent(_ token: Token, _ count: Int) {
    guard let (index, side) = owner(of: token) else { return }
    guard sessions[index].pointee.phase == .relaying else { return headerSent(token, count) }
    let session = sessions[index]
    session.pointee.lastActivity = now
    switch side {
    case .client: listener(of: index).pointee.sent &+= UInt64(count)
    // A send that was interrupted took nothing.
    case .upstream: if count > 0 { session.pointee.isCommitted = true }
    }
    let (step, recycled) = session.pointee[flowFrom: side.other].sent(count)
    if let recycled { engine.recycle(recycled) }
    perform(step, index, from: side.other)
  }

  mutating func ended(_ token: Token) {
    guard let (index, side) = owner(of: token) else { return }
    let session = sessions[index]
    switch session.pointee.phase {
    case .waitingForFirstByte: forget(index, .clientSilent)
    case .connecting:
      session.pointee.clientHungUp = true
      _ = session.pointee.toUpstream.sourceEnded()
    case .held: forget(index, .clientLeft)
    case .relaying: streamEnded(index, side)
    case .closing: finish(index, reset: false)
    case .free: break
    }
  }

  /// Everything before the end has been sent on: a receive is only asked for when nothing is pending.
  private mutating func streamEnded(_ index: SessionIndex, _ side: Side) {
    let session = sessions[index]
    // A broken connection whose error was reported to a send reads as an end. It is none, and must not look like one.
    if side == .upstream, session.pointee.upstreamBroke { return upstreamLost(index) }
    let step = session.pointee[flowFrom: side].sourceEnded()
    if side == .upstream, session.pointee.toUpstream.state != .ended {
      backendLeft(index)
      signal(.closed, session.pointee.backend)
    }
    if session.pointee[flowFrom: side.other].state == .ended { return forget(index, .completed) }
    perform(step, index, from: side)
  }

  /// Where the kernel had no memory for an operation, the connection is whole: its peer is not to blame, and no end will come of it that
  /// would end a session whose bytes cannot go on.
  mutating func failed(_ token: Token, _ error: Int32, sending: Bool) {
    guard error == ENOBUFS || error == ENOMEM else { return broke(token, sending: sending) }
    guard let (index, side) = owner(of: token) else { return }
    switch (sessions[index].pointee.phase, side) {
    case (.connecting, .upstream): attemptFailed(index, .local)
    case (.relaying, .upstream) where mayRetry(index): retry(index, .local)
    case (.waitingForFirstByte, _), (.held, _), (.connecting, .client), (.relaying, _): forget(index, .limit, reset: true)
    case (.closing, _): finish(index, reset: false)
    case (.free, _): break
    }
  }

  private mutating func broke(_ token: Token, sending: Bool) {
    guard let (index, side) = owner(of: token) else { return }
    let session = sessions[index]
    switch (session.pointee.phase, side) {
    case (.waitingForFirstByte, _): forget(index, .clientSilent)
    case (.held, _): forget(index, .clientLeft)
    case (.closing, _): finish(index, reset: false)
    case (.connecting, .upstream): attemptFailed(index, .reset)
    case (.connecting, .client), (.relaying, .client): forget(index, .resetByClient, reset: true)
    case (.relaying, .upstream):
      if sending, session.pointee.isCommitted, session.pointee.toClient.state != .ended {
        // It takes no more, but what it said before may wait to be read: an early answer, sent by a server that did not want the rest.
        session.pointee.upstreamBroke = true
        if let dropped = session.pointee.toUpstream.drop() { engine.recycle(dropped) }
      } else {
        upstreamLost(index)
      }
    case (.free, _): break
    }
  }

  mutating func hungUp(_ token: Token, broken: Bool) {
    guard let (index, side) = owner(of: token) else { return }
    let session = sessions[index]
    switch (session.pointee.phase, side) {
    case (.held, .client): forget(index, .clientLeft)
    case (.connecting, .client), (.relaying, .client):
      if broken { forget(index, .resetByClient, reset: true) } else { session.pointee.clientHungUp = true }
    case (.relaying, .upstream):
      // With bytes on their way to the client the receive after them will tell.
      if broken, session.pointee.toClient.state == .ended { upstreamLost(index) }
    case (.connecting, .upstream):
      if broken, session.pointee.waitsForTrust { attemptFailed(index, .reset) }
    case (.held, .upstream), (.waitingForFirstByte, _), (.closing, _), (.free, _): break
    }
  }

  /// The backend reset the connection. Before a byte went either way that is one more failed try.
  private mutating func upstreamLost(_ index: SessionIndex) {
    guard !mayRetry(index) else { return retry(index, .reset) }
    backendLeft(index)
    signal(.reset, sessions[index].pointee.backend)
    forget(index, .resetByBackend, reset: true)
  }

  private func mayRetry(_ index: SessionIndex) -> Bool {
    !sessions[index].pointee.isCommitted && sessions[index].pointee.toClient.state != .ended
  }

  private mutating func retry(_ index: SessionIndex, _ reason: RetryReason) {
    let session = sessions[index]
    session.pointee.toClient = Flow()
    session.pointee.awaitsAnswer = false
    // The time it was connected is not time it waited; what it had waited before still counts, or a backend that accepts and resets
    // could keep it for ever.
    session.pointee.waitingSince = session.pointee.waitingSince + (now - session.pointee.lastActivity)
    attemptFailed(index, reason)
  }

  private mutating func perform(_ step: Flow.Step, _ index: SessionIndex, from side: Side) {
    switch step {
    case .receive:
      engine.receive(token(index, side))
    case .receiveIntoPipe:
      engine.receiveIntoPipe(token(index, side))
    case .send:
      guard let (buffer, offset, count) = sessions[index].pointee[flowFrom: side].pending else { return }
      if buffer.isPipe { return engine.send(token(index, side.other), pipe: buffer) }
      engine.send(token(index, side.other), UnsafeRawPointer(engine.bytes(of: buffer) + offset), count: count)
    case .passEndOn:
      engine.shutdownSending(token(index, side.other))
    }
  }
}
