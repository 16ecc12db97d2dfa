import Model
import NIOCore
import NIOPosix
import PostgresWire

/// Asks a Postgres server whether it is there (`ssl_request`), whether it takes sessions (`startup`), or what it is (`role`).
///
/// `tls: prefer` goes on in the clear where libpq does: when the server does not offer TLS, and on a new connection when the
/// handshake fails or pg_hba.conf refuses the encrypted one (`hostnossl`). Unlike libpq it does not say a password twice that was
/// wrong the first time. A unix socket is not encrypted, whatever the setting.
///
/// For the role one authenticated session is kept and asked again with each probe. Between probes it is a sentinel: a
/// server that dies or shuts down ends it at once, and that is news long before the next probe is due.
final class PostgresProber: Prober {
  private struct Session {
    let link: Link
    var machine: PostgresSession
    /// Answers questions: from here on its end is that of a kept session.
    var isEstablished = false
    /// TLS has begun.
    var isEncrypted = false
  }

  private let check: PostgresCheck
  private let address: Model.SocketAddress
  private let header: ProxyProtocol?
  private let loop: any EventLoop
  private let hashing: NIOThreadPool
  private let onEvent: (ProberEvent) -> Void
  /// Since when there was something received and nothing replayed.
  private var unplayedSince: Instant?
  private var session: Session?
  private var isProbing = false
  /// Why TLS is not asked for any more, although it is preferred.
  private var setback: ProbeFailure?

  var keepsSession: Bool { session != nil }

  init(
    check: PostgresCheck, address: Model.SocketAddress, header: ProxyProtocol?, loop: any EventLoop, hashing: NIOThreadPool,
    onEvent: @escaping (ProberEvent) -> Void
  ) {
    self.check = check
    self.address = address
    self.header = header
    self.loop = loop
    self.hashing = hashing
    self.onEvent = onEvent
  }

  func begin() {
    isProbing = true
    setback = nil
    if session == nil { connect() } else { ask() }
  }

  func timeOut(after timeout: Duration) -> ProbeFailure {
    let phase = session?.machine.waitingFor ?? "an answer"
    isProbing = false
    if var ending = session, let farewell = ending.machine.leave() { ending.link.send(farewell) }
    session?.link.drop()
    session = nil
    return ProbeFailure(.timedOut, "no \(phase) within \(timeout.text)")
  }

  func stop() {
    isProbing = false
    guard var ending = session else { return }
    session = nil
    ending.link.close(after: ending.machine.leave())
  }

  private func connect() {
    let link = Link(to: address, header: header, on: loop) { [weak self] event in self?.received(event) }
    // Unlike the schedule, the nonce of SCRAM must be beyond guessing: the system's generator, not the seeded one.
    let nonce = (0..<18).map { _ in UInt8.random(in: .min ... .max) }
    session = Session(
      link: link,
      machine: PostgresSession(
        goal: check.goal, encryption: setback == nil ? check.encryption(to: address) : .disable,
        credentials: check.credentials(for: address), database: check.database, nonce: nonce, hashes: CryptoHashes()))
  }

  private func received(_ event: Link.Event) {
    switch event {
    case .connected:
      if let startup = session?.machine.connected() { session?.link.send(startup) }
    case .secured:
      if let action = session?.machine.secured() { perform(action) }
    case .received(let bytes):
      for action in session?.machine.received(bytes) ?? [] { perform(action) }
    case .ended(let failure):
      let isHandshake = session?.machine.isSecuring == true
      guard let reason = session?.machine.connectionEnded() else { return }
      if isHandshake, fallBack(after: failure) { return }
      fail(ProbeFailure(reason, connection: failure))
    }
  }

  private func perform(_ action: PostgresSession.Action) {
    switch action {
    case .send(let bytes): session?.link.send(bytes)
    case .startTLS: startTLS()
    case .derive(let derivation): derive(derivation)
    case .becameReady: ask()
    case .acceptsSessions:
      stop()
      onEvent(.passed(nil, nil))
    case .answered(let status):
      session?.isEstablished = true
      isProbing = false
      let replication = Replication(timeline: status.timeline, lagTime: lagTime(status), lagBytes: status.lagBytes)
      onEvent(.passed(status.isInRecovery ? .replica : .primary, replication))
    case .fail(let reason):
      // To this depth it does not matter who we are: a server that refuses us by name has started, for it refuses everybody
      // with 57P03 until then, and takes sessions.
      if check.depth == .startup, reason.refusesTheUser {
        stop()
        onEvent(.passed(nil, nil))
      } else {
        let failure = ProbeFailure(reason, connection: nil)
        if reason.mayBeAboutEncryption, session?.isEncrypted == true, fallBack(after: failure) { return }
        // Of two refusals the first is about what was asked for.
        fail(failure.kind == .authentication ? setback ?? failure : failure)
      }
    }
  }

  /// A standby that has replayed nothing since its start cannot say how late it is. It is at least as late as what it holds back has
  /// been waiting before our eyes.
  private func lagTime(_ status: RecoveryStatus) -> Duration? {
    guard status.lagTime == nil, let bytes = status.lagBytes, bytes > 0 else {
      unplayedSince = nil
      return status.lagTime
    }
    let now = Instant.now
    unplayedSince = unplayedSince ?? now
    return unplayedSince.map { now - $0 }
  }

  private func startTLS() {
    do throws(ProbeFailure) {
      let client = try TLSClient(TLSCheck())
      session?.isEncrypted = true
      session?.link.startTLS(client)
    } catch {
      fail(error)
    }
  }

  /// Goes on without TLS where that is allowed. To the depth `ssl_request` nothing is left to ask then.
  private func fallBack(after failure: ProbeFailure) -> Bool {
    guard check.tls != .require, isProbing, setback == nil, let ending = session else { return false }
    ending.link.close()
    session = nil
    if check.depth == .sslRequest {
      stop()
      onEvent(.passed(nil, nil))
    } else {
      setback = failure
      connect()
    }
    return true
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
  fileprivate var goal: PostgresSession.Goal {
    switch depth {
    case .sslRequest: .sslRequest
    case .startup: .startup
    case .role: .role
    }
  }

  fileprivate func encryption(to address: Model.SocketAddress) -> PostgresSession.Encryption {
    if case .unix = address { return .disable }
    return switch tls {
    case .disable: .disable
    case .prefer: .prefer
    case .require: .require
    }
  }

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
    case .notAccepting, .shuttingDown, .tooManyConnections, .rejected, .encryptionNotOffered, .authentication, .protocolViolation,
      .closed:
      false
    }
  }

  /// pg_hba.conf may have lines for the one or the other kind of connection; a user that does not exist has neither.
  fileprivate var mayBeAboutEncryption: Bool {
    if case .accessDenied(let error) = self {
      error.state == .invalidAuthorization && error.routine != "InitializeSessionUserId"
    } else {
      false
    }
  }
}
