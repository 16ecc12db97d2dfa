import CLinux
import Glibc
import Model
import Threads

/// What becomes of a listening socket that a worker lets go of.
enum ListenerEnd: Sendable {
  /// Nobody will listen there. Whoever the kernel let in is served, whoever comes later is refused, and nobody in between is reset.
  case refuse
  /// Somebody else has the socket and listens on: what waits in it is lost to nobody.
  case passOn
}

/// A copy of a listening socket, and whose it is.
struct ListenerCopy: Sendable {
  let name: ListenerName
  let socket: ListeningSocket
}

/// How listeners end, and how their sockets pass from one to another.
///
/// The kernel ends a handshake before anybody accepts. A connection whose handshake ends after the last accept and before the close would
/// be reset, and the client could not tell that from a lost answer. So a listener that ends first becomes deaf to newcomers, goes on
/// accepting while handshakes can still be under way, and then empties its backlog and closes.
extension Worker where E: ~Copyable {
  /// How long a handshake that has begun may take to end. Within this machine it is over before the client's system call returns, and only
  /// a kernel thread that waits for its turn delays it; elsewhere, a round trip.
  private static func handshakeTime(isLocal: Bool) -> Duration { isLocal ? .milliseconds(50) : .milliseconds(250) }

  func openListeners(_ name: ListenerName) -> [Int32] { listenerNumbers[name]?.filter { listeners[$0].pointee.isOpen } ?? [] }

  mutating func removeListener(_ name: ListenerName, _ reply: Reply<Void>) {
    let open = openListeners(name)
    guard let first = open.first else { return reply.fulfil(()) }
    listeners[first].pointee.closing.append(reply)
    for number in open { closeListener(number, .refuse) }
  }

  mutating func closeListener(_ number: Int32, _ end: ListenerEnd) {
    let slot = listeners[number]
    guard slot.pointee.isOpen, slot.pointee.closesAt == nil else { return }
    switch end {
    case .refuse where !slot.pointee.socket.isHeldElsewhere:
      guard let patience = turnAwayNewcomers(slot.pointee.socket.descriptor) else { return emptyBacklog(number) }
      let closesAt = min(now + patience, drain?.endsAt ?? Instant(nanoseconds: .max))
      slot.pointee.closesAt = closesAt
      listenersCloseAt = min(closesAt, listenersCloseAt ?? closesAt)
    case .refuse, .passOn: emptyBacklog(number)
    }
  }

  /// How long handshakes may be under way afterwards; nil when all that is to come has come.
  private func turnAwayNewcomers(_ descriptor: Int32) -> Duration? {
    guard let address = KernelAddress(localAddressOf: descriptor) else { return nil }
    if address.isUnix {
      // Refuses, and leaves what waits: a connect to a unix socket is one step. Of all copies at once, so never of one that others use.
      shutdown(descriptor, Int32(SHUT_RDWR))
      return nil
    }
    return leba_ignore_new_handshakes(descriptor) == 0 ? Self.handshakeTime(isLocal: address.isLoopback) : nil
  }

  mutating func closeListenersThatAreDue() {
    listenersCloseAt = nil
    for number in listeners.numbers {
      guard let closesAt = listeners[number].pointee.closesAt, listeners[number].pointee.isOpen else { continue }
      if closesAt <= now {
        emptyBacklog(number)
      } else {
        listenersCloseAt = min(closesAt, listenersCloseAt ?? closesAt)
      }
    }
  }

  /// Takes what waits in the backlog if there is room for it, and closes; a listener that is not accepting is closed as it stands.
  private mutating func emptyBacklog(_ number: Int32) {
    if sessions.isFull || listeners[number].pointee.isFull || !isAccepting {
      engine.closeListener(listenerToken(number))
      listenerClosed(number)
    } else {
      engine.finishAccepting(listenerToken(number))
    }
  }

  mutating func listenerClosed(_ number: Int32) {
    let slot = listeners[number]
    slot.pointee.isOpen = false
    slot.pointee.closesAt = nil
    closedListeners.insert(number)
    let waiting = slot.pointee.closing
    slot.pointee.closing = []
    if let other = openListeners(slot.pointee.name).first {
      listeners[other].pointee.closing += waiting
    } else {
      for reply in waiting { reply.fulfil(()) }
    }
  }

  var hasOpenListener: Bool { listeners.numbers.contains { listeners[$0].pointee.isOpen } }

  // MARK: From one to another

  /// Sessions stay with the listener they came through, and so do connections that waited before this.
  mutating func replaceListener(_ name: ListenerName, with specification: ListenerSpecification) -> EngineError? {
    for number in openListeners(name) where listeners[number].pointee.closesAt == nil {
      guard let copy = listeners[number].pointee.socket.copy() else {
        return EngineError(operation: "replacing a listener", errno: errno)
      }
      if let error = addListener(specification, copy) { return error }
      closeListener(number, .passOn)
    }
    return nil
  }

  func copyListeners() -> [ListenerCopy] {
    listeners.numbers.compactMap { number in
      let slot = listeners[number].pointee
      guard slot.isOpen, slot.closesAt == nil, let copy = slot.socket.copy() else { return nil }
      return ListenerCopy(name: slot.name, socket: copy)
    }
  }

  mutating func startAccepting() {
    isAccepting = true
    resumeAcceptingEverywhere()
  }
}
