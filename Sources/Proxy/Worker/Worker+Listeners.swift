import Glibc
import Model
import Threads

/// Listeners, and what happens to a connection until it wants a backend.
extension Worker where E: ~Copyable {
  mutating func addListener(_ specification: ListenerSpecification, _ socket: ListeningSocket) -> EngineError? {
    let group = groupNumber(for: specification.group)
    let number = slotToReuse(for: specification, group: group) ?? newListener(specification, group: group)
    let slot = listeners[number]
    slot.pointee.clientSpeaksFirst = specification.clientSpeaksFirst
    slot.pointee.idleTimeout = specification.limits.idleTimeout
    slot.pointee.maximumDuration = specification.limits.maximumDuration
    slot.pointee.connectionLimit = settings.share(of: specification.limits.maximumConnections)
    slot.pointee.generation &+= 1
    slot.pointee.isOpen = true
    slot.pointee.socket = socket
    slot.pointee.closesAt = nil
    closedListeners.remove(number)
    do {
      try engine.listen(socket.descriptor, as: listenerToken(number))
    } catch {
      engine.closeListener(listenerToken(number))
      slot.pointee.isOpen = false
      closedListeners.insert(number)
      return error
    }
    if sessions.isFull || slot.pointee.isFull || !isAccepting { engine.pauseAccepting(listenerToken(number)) }
    return nil
  }

  /// A listener that is opened again goes on counting. Not if it now leads elsewhere: sessions follow their listener's route.
  private func slotToReuse(for specification: ListenerSpecification, group: Int32) -> Int32? {
    listenerNumbers[specification.name]?.first { number in
      let slot = listeners[number]
      return !slot.pointee.isOpen && slot.pointee.group == group && slot.pointee.role == specification.role
    }
  }

  /// Closed listeners without sessions are forgotten here, so that names which come and go do not add up.
  private mutating func newListener(_ specification: ListenerSpecification, group: Int32) -> Int32 {
    let route = routeNumber(group, specification.role)
    // Counted before, or the group could go with the last of its closed ones.
    routes[route].pointee.listeners += 1
    for number in closedListeners where listeners[number].pointee.active == 0 { forgetListener(number) }
    let slot = ListenerSlot(
      name: specification.name, group: group, role: specification.role, route: route,
      clientSpeaksFirst: specification.clientSpeaksFirst)
    let number = listeners.insert(slot)
    listenerNumbers[specification.name, default: []].append(number)
    return number
  }

  private mutating func forgetListener(_ number: Int32) {
    let listener = listeners[number].pointee
    listenerNumbers[listener.name]?.removeAll { $0 == number }
    if listenerNumbers[listener.name]?.isEmpty ?? false { listenerNumbers[listener.name] = nil }
    closedListeners.remove(number)
    listeners.remove(number)
    routes[listener.route].pointee.listeners -= 1
    guard routes[listener.route].pointee.listeners == 0 else { return }
    paceDeadlines.remove(UInt32(bitPattern: listener.route))
    routes.remove(listener.route)
    groups[listener.group].pointee.routes[listener.role.ordinal] = .noSlot
    reclaimIfUnused(listener.group)
  }

  mutating func accepted(_ token: Token, _ descriptor: Int32) {
    guard let index = sessions.take() else {
      // Only while a listener empties its backlog: otherwise accepting pauses before the slab is full.
      Glibc.close(descriptor)
      return
    }
    let number = token.listenerNumber
    let session = sessions[index]
    let listener = listeners[number]
    session.pointee.listener = number
    session.pointee.phase = .waitingForFirstByte
    session.pointee.lastActivity = now
    session.pointee.acceptedAt = now
    listener.pointee.accepted += 1
    listener.pointee.active += 1
    if sessions.isFull { pauseAcceptingEverywhere() } else if listener.pointee.isFull { pauseAccepting(number) }
    if routes[listener.pointee.route].pointee.balancer.looksAtClient {
      session.pointee.clientHash = StableHash.ofClient(at: descriptor)
    }
    if let version = groups[listener.pointee.group].pointee.connections.proxyProtocol { noteClient(index, at: descriptor, version) }
    session.pointee.clientIsOpen = engine.adopt(descriptor, as: self.token(index, .client))
    guard session.pointee.clientIsOpen else { return forget(index, .limit) }
    if listener.pointee.clientSpeaksFirst {
      engine.peek(self.token(index, .client))
      if drain != nil || listener.pointee.limitsLifetime { deadlines.set(index, at: now) }
    } else {
      wantBackend(index)
    }
  }

  /// The first bytes are in the kernel's buffer and stay there until a backend is connected: a retry costs nothing, a held client no memory.
  mutating func clientSpoke(_ token: Token) {
    guard let (index, _) = owner(of: token) else { return }
    switch sessions[index].pointee.phase {
    case .waitingForFirstByte:
      deadlines.remove(index)
      wantBackend(index)
    case .free, .connecting, .held, .relaying, .closing: break
    }
  }

  // MARK: Connection limits

  /// The listener is full; those who come wait in the kernel's backlog.
  private mutating func pauseAccepting(_ number: Int32) {
    guard listeners[number].pointee.isOpen else { return }
    acceptPauses += 1
    engine.pauseAccepting(listenerToken(number))
  }

  /// A session of the listener has ended.
  mutating func resumeAccepting(_ number: Int32) {
    guard !sessions.isFull, listeners[number].pointee.isOpen, !listeners[number].pointee.isFull else { return }
    engine.resumeAccepting(listenerToken(number))
  }

  private mutating func pauseAcceptingEverywhere() {
    acceptPauses += 1
    for number in listeners.numbers where listeners[number].pointee.isOpen { engine.pauseAccepting(listenerToken(number)) }
  }

  mutating func resumeAcceptingEverywhere() {
    guard !sessions.isFull, isAccepting else { return }
    for number in listeners.numbers { resumeAccepting(number) }
  }

  func listenerToken(_ number: Int32) -> Token {
    Token(listener: number, generation: listeners[number].pointee.generation)
  }
}
