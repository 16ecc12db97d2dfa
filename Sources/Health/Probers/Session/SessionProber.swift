import Model
import NIOCore

/// Asks over one connection, and keeps it where the conversation does.
///
/// A kept session is a sentinel between probes: a server that dies ends it at once, and that is news long before the next
/// probe is due.
final class SessionProber<Talk: Conversation>: Prober {
  private struct Session {
    let link: Link
    var talk: Talk
    /// Has answered a probe: from here on its end is that of a kept session.
    var isEstablished = false
    /// A TLS handshake is under way, and another connection may do without.
    var isTryingTLS = false
  }

  private let makeTalk: (_ mayEncrypt: Bool) -> Talk
  private let address: Model.SocketAddress
  private let header: ProxyProtocol?
  private let loop: any EventLoop
  private let onEvent: (ProberEvent) -> Void
  private var session: Session?
  private var isProbing = false
  /// Why TLS, which is optional, is not asked for any more in this probe.
  private var setback: ProbeFailure?

  var keepsSession: Bool { session != nil }

  init(
    address: Model.SocketAddress, header: ProxyProtocol?, loop: any EventLoop, onEvent: @escaping (ProberEvent) -> Void,
    talk: @escaping (_ mayEncrypt: Bool) -> Talk
  ) {
    self.address = address
    self.header = header
    self.loop = loop
    self.onEvent = onEvent
    makeTalk = talk
  }

  func begin() {
    isProbing = true
    setback = nil
    if session == nil { connect() } else { perform(session?.talk.ask() ?? []) }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    let phase = session?.talk.waitingFor ?? "an answer"
    stop()
    return ProbeFailure(.timedOut, "no \(phase) within \(timeout.text)")
  }

  func stop() {
    isProbing = false
    guard let ending = session else { return }
    session = nil
    ending.link.close(after: ending.talk.farewell)
  }

  private func connect() {
    let link = Link(to: address, header: header, on: loop) { [weak self] event in self?.received(event) }
    session = Session(link: link, talk: makeTalk(setback == nil))
  }

  private func received(_ event: Link.Event) {
    switch event {
    case .connected:
      perform(session?.talk.connected() ?? [])
    case .secured:
      session?.isTryingTLS = false
      perform(session?.talk.secured() ?? [])
    case .received(let bytes):
      perform(session?.talk.received(bytes) ?? [])
    case .ended(let failure):
      guard let phase = session?.talk.waitingFor else { return }
      if session?.isTryingTLS == true, isProbing { return goOnInTheClear(after: failure) }
      fail(isProbing ? ProbeFailure(failure.kind, "\(failure.detail) (waiting for the \(phase))") : failure)
    }
  }

  private func perform(_ steps: [ConversationStep]) {
    for step in steps {
      // A step may end the session, and the rest was for that one.
      guard let session else { return }
      switch step {
      case .send(let bytes): session.link.send(bytes)
      case .startTLS(let isOptional): startTLS(isOptional: isOptional)
      case .pass:
        self.session?.isEstablished = true
        pass()
      case .passAndLeave:
        stop()
        onEvent(.passed(nil, nil))
      case .fail(let failure): fail(failure)
      case .idleTooLong: leaveIdle()
      }
    }
  }

  private func pass() {
    guard isProbing else { return }
    isProbing = false
    onEvent(.passed(nil, nil))
  }

  private func startTLS(isOptional: Bool) {
    do throws(ProbeFailure) {
      let client = try TLSClient(TLSCheck())
      session?.isTryingTLS = isOptional
      session?.link.startTLS(client)
    } catch {
      fail(error)
    }
  }

  private func goOnInTheClear(after failure: ProbeFailure) {
    session?.link.close()
    setback = failure
    connect()
  }

  private func leaveIdle() {
    let wasProbing = isProbing
    stop()
    if wasProbing {
      // The question and the news have crossed: the probe is not over.
      isProbing = true
      connect()
    } else {
      onEvent(.sessionClosed)
    }
  }

  private func fail(_ failure: ProbeFailure) {
    guard let session else { return }
    // Of two refusals the first is about what was asked for.
    let failure = failure.kind == .authentication ? setback ?? failure : failure
    let (wasProbing, wasEstablished) = (isProbing, session.isEstablished)
    stop()
    onEvent(wasProbing ? .failed(failure, sessionEnded: wasEstablished) : .sessionEnded(failure))
  }
}
