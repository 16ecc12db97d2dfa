import Model
import NIOCore
import NIOPosix
import PostgresWire

/// Asks a Postgres server whether it takes sessions (`startup`), or what it is (`role`).
///
/// For the role one authenticated session is kept and asked again with each probe. Between probes it is a sentinel: a
/// server that dies or shuts down ends it at once, and that is news long before the next probe is due.
final class PostgresProber: Prober {
  private struct Session {
    let link: Link
    var machine: PostgresSession
    /// Answers questions: from here on its end is that of a kept session.
    var isEstablished = false
  }

  private let check: PostgresCheck
  private let address: Model.SocketAddress
  private let loop: any EventLoop
  private let hashing: NIOThreadPool
  private let onEvent: (ProberEvent) -> Void
  private var session: Session?
  private var isProbing = false

  var keepsSession: Bool { session != nil }

  init(
    check: PostgresCheck, address: Model.SocketAddress, loop: any EventLoop, hashing: NIOThreadPool,
    onEvent: @escaping (ProberEvent) -> Void
  ) {
    self.check = check
    self.address = address
    self.loop = loop
    self.hashing = hashing
    self.onEvent = onEvent
  }

  func begin() {
    isProbing = true
    if session == nil { connect() } else { ask() }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    let phase = session?.machine.waitingFor ?? "an answer"
    stop()
    return ProbeFailure(.timedOut, "no \(phase) within \(timeout.text)")
  }

  func stop() {
    isProbing = false
    guard var ending = session else { return }
    session = nil
    ending.link.close(after: ending.machine.leave())
  }

  private func connect() {
    let link = Link(to: address, on: loop) { [weak self] event in self?.received(event) }
    // Unlike the schedule, the nonce of SCRAM must be beyond guessing: the system's generator, not the seeded one.
    let nonce = (0..<18).map { _ in UInt8.random(in: .min ... .max) }
    session = Session(
      link: link,
      machine: PostgresSession(
        goal: check.depth == .role ? .role : .startup, credentials: check.credentials(for: address), database: check.database,
        nonce: nonce, hashes: CryptoHashes()))
  }

  private func received(_ event: Link.Event) {
    switch event {
    case .connected:
      if let startup = session?.machine.connected() { session?.link.send(startup) }
    case .received(let bytes):
      for action in session?.machine.received(bytes) ?? [] { perform(action) }
    case .ended(let failure):
      guard let reason = session?.machine.connectionEnded() else { return }
      fail(ProbeFailure(reason, connection: failure))
    }
  }

  private func perform(_ action: PostgresSession.Action) {
    switch action {
    case .send(let bytes): session?.link.send(bytes)
    case .derive(let derivation): derive(derivation)
    case .becameReady: ask()
    case .acceptsSessions:
      stop()
      onEvent(.passed(nil, nil))
    case .answered(let isInRecovery):
      session?.isEstablished = true
      isProbing = false
      onEvent(.passed(isInRecovery ? .replica : .primary, nil))
    case .fail(let reason):
      // To this depth it does not matter who we are: a server that refuses us by name has started, for it refuses everybody
      // with 57P03 until then, and takes sessions.
      if check.depth == .startup, reason.refusesTheUser {
        stop()
        onEvent(.passed(nil, nil))
      } else {
        fail(ProbeFailure(reason, connection: nil))
      }
    }
  }

  private func ask() {
    if let question = session?.machine.ask() { session?.link.send(question) }
  }

  private func fail(_ failure: ProbeFailure) {
    guard let session else { return }
    let (wasProbing, wasEstablished) = (isProbing, session.isEstablished)
    stop()
    if wasProbing {
      onEvent(.failed(failure, sessionEnded: wasEstablished))
    } else {
      onEvent(.sessionEnded(failure))
    }
  }

  /// Thousands of HMACs: off the loop, or the probes of all other members would wait.
  private func derive(_ derivation: KeyDerivation) {
    guard let link = session?.link else { return }
    hashing.runIfActive(eventLoop: loop) { derivation.run(using: CryptoHashes()) }
      .assumeIsolated()
      .whenSuccess { [weak self] key in
        // The session it was for may be gone by now.
        guard let self, self.session?.link === link, let action = self.session?.machine.keyDerived(key) else { return }
        self.perform(action)
      }
  }
}

extension PostgresCheck {
  fileprivate func credentials(for address: Model.SocketAddress) -> Credentials {
    let linkIsPrivate =
      switch address {
      case .unix: true
      case .ip: false
      }
    return Credentials(user: user, password: password.map { Password($0.revealed) }, linkIsPrivate: linkIsPrivate)
  }
}

extension SessionFailure {
  fileprivate var refusesTheUser: Bool {
    switch self {
    case .wrongPassword, .accessDenied: true
    case .notAccepting, .shuttingDown, .tooManyConnections, .rejected, .authentication, .protocolViolation, .closed: false
    }
  }
}
