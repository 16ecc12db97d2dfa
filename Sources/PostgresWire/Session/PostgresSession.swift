/// One client session that asks a server what it is: bytes and facts in, bytes and findings out; no socket, no clock.
///
/// Time-outs need no event of their own: whoever holds the connection drops it together with this value.
package struct PostgresSession: Sendable {
  /// How far the session goes.
  package enum Goal: Hashable, Sendable {
    /// Until the server has answered whether it speaks TLS. One that does expects the handshake next and logs an error about a
    /// client that leaves before it, so the handshake is made.
    case sslRequest
    /// Until the server has shown that it takes sessions: it asks for a password, or lets us in without one.
    case startup
    /// Until the server says in SQL what it is, as often as it is asked.
    case role
  }

  package enum Encryption: Hashable, Sendable {
    /// Not asked for.
    case disable
    /// Where the server offers it.
    case prefer
    /// Or the session fails.
    case require
  }

  package enum Action: Hashable, Sendable {
    case send([UInt8])
    /// Begin the TLS handshake, then call `secured`.
    case startTLS
    /// Run it where it holds up nobody, then call `keyDerived`.
    case derive(KeyDerivation)
    /// The goal `sslRequest` or `startup` is reached: `leave` and close.
    case acceptsSessions
    /// Authenticated, and `ask` may be called.
    case becameReady
    case answered(RecoveryStatus)
    /// Close.
    case fail(SessionFailure)

    /// What the server says after this does not matter any more.
    var isLast: Bool {
      switch self {
      case .acceptsSessions, .fail: true
      case .send, .startTLS, .derive, .becameReady, .answered: false
      }
    }
  }

  private enum State {
    /// → negotiating, authenticating
    case unconnected
    /// Awaits the one byte that answers SSLRequest. → securing, authenticating, ended
    case negotiating
    /// → authenticating, ended
    case securing
    /// → starting, ended
    case authenticating(Authenticator)
    /// The server let us in and tells its parameters. → ready, ended
    case starting
    /// → asking, ended
    case ready
    /// → ready, askingLess, ended
    case asking(RecoveryQuestion, RecoveryStatus?)
    /// The server cannot answer the whole question: once it has said so, the role alone is asked for. → asking, ended
    case askingLess
    case ended
  }

  /// What libpq allows an error message; nothing else we ask for comes near it.
  static let maximumMessageLength = 30_000
  /// For a whole startup, or for what comes between two questions: a server that talks without end is not one.
  static let maximumExchange = 256 * 1024

  private var state = State.unconnected
  private let goal: Goal
  private let encryption: Encryption
  private var credentials: Credentials
  private let database: String
  private let nonce: [UInt8]
  private let hashes: any PasswordHashes
  private var decoder = MessageDecoder(maximumLength: Self.maximumMessageLength)
  private var allowance = Self.maximumExchange
  /// As much as the server's version can answer.
  private var question = RecoveryQuestion.role
  private var lastAnswer: RecoveryStatus?

  /// `nonce`: unpredictable bytes, 18 or more, for this one session.
  package init(
    goal: Goal, encryption: Encryption, credentials: Credentials, database: String, nonce: [UInt8], hashes: any PasswordHashes
  ) {
    self.goal = goal
    self.encryption = encryption
    self.credentials = credentials
    self.database = database
    self.nonce = nonce
    self.hashes = hashes
  }

  package var isReady: Bool { if case .ready = state { true } else { false } }

  /// What the server owes us, for people.
  package var waitingFor: String {
    switch state {
    case .unconnected: "connection"
    case .negotiating: "answer to SSLRequest"
    case .securing: "TLS handshake"
    case .authenticating: "authentication"
    case .starting: "end of the startup"
    case .asking, .askingLess, .ready, .ended: "answer to the query"
    }
  }

  /// The TLS handshake is made, or has failed.
  package var isSecuring: Bool { if case .securing = state { true } else { false } }

  /// Gives the first message.
  package mutating func connected() -> [UInt8] {
    guard goal == .sslRequest || encryption != .disable else { return startup() }
    state = .negotiating
    return FrontendMessage.sslRequest.encoded
  }

  /// The end of the TLS handshake that was asked for.
  package mutating func secured() -> Action? {
    guard isSecuring else { return nil }
    if goal == .sslRequest { return .acceptsSessions }
    credentials.linkIsPrivate = true
    return .send(startup())
  }

  private mutating func startup() -> [UInt8] {
    state = .authenticating(Authenticator(credentials: credentials, nonce: nonce, hashes: hashes))
    return FrontendMessage.startup([
      .init("user", credentials.user), .init("database", database),
      // So that people find us in pg_stat_activity.
      .init("application_name", "leba"),
    ]).encoded
  }

  package mutating func received(_ bytes: some Collection<UInt8>) -> [Action] {
    if case .ended = state { return [] }
    guard bytes.count <= allowance else { return [fail(.protocolViolation(.tooMuch))] }
    allowance -= bytes.count
    if case .negotiating = state, let action = receive(answer: bytes) { return [action] }
    decoder.append(bytes)
    var actions: [Action] = []
    do throws(WireError) {
      while let message = try decoder.next() {
        guard let action = receive(message) else { continue }
        actions.append(action)
        if action.isLast { break }
      }
    } catch {
      actions.append(fail(.protocolViolation(.wire(error))))
    }
    return actions
  }

  package mutating func keyDerived(_ key: SaltedPassword) -> Action? {
    guard case .authenticating(var authenticator) = state else { return nil }
    let action = authenticator.derived(key)
    state = .authenticating(authenticator)
    return perform(action)
  }

  /// Asks for the role. Nil unless the session is ready.
  package mutating func ask() -> [UInt8]? {
    guard isReady else { return nil }
    allowance = Self.maximumExchange
    return ask(question)
  }

  private mutating func ask(_ question: RecoveryQuestion) -> [UInt8] {
    state = .asking(question, nil)
    return FrontendMessage.query(question.sql).encoded
  }

  /// The peer ended the connection. Nil when its end was known or caused by us.
  package mutating func connectionEnded() -> SessionFailure? {
    defer { state = .ended }
    switch state {
    case .unconnected: return .closed(during: .connecting)
    case .negotiating: return .closed(during: .negotiation)
    case .securing: return .closed(during: .handshake)
    case .authenticating: return .closed(during: .authentication)
    case .starting: return .closed(during: .startup)
    case .ready: return .closed(during: .idle)
    case .asking, .askingLess: return .closed(during: .query)
    case .ended: return nil
    }
  }

  /// Ends the session from our side: what to send before closing.
  ///
  /// A server that waits for a password logs an error about anything else, Terminate included, but takes a plain
  /// close in silence; one that has let us in expects Terminate.
  package mutating func leave() -> [UInt8]? {
    defer { state = .ended }
    switch state {
    case .unconnected, .negotiating, .securing, .authenticating, .ended: return nil
    case .starting, .ready, .asking, .askingLess: return FrontendMessage.terminate.encoded
    }
  }
}

extension PostgresSession {
  /// The answer to SSLRequest is a byte without a frame. Nil: it is a message after all.
  private mutating func receive(answer bytes: some Collection<UInt8>) -> Action? {
    guard let answer = bytes.first else { return nil }
    // What came with the byte was not encrypted, and must not be taken for what comes later and is (CVE-2021-23222).
    let isAlone = bytes.count == 1
    switch answer {
    case UInt8(ascii: "S") where isAlone:
      state = .securing
      return .startTLS
    case UInt8(ascii: "N") where isAlone:
      if encryption == .require { return fail(.encryptionNotOffered) }
      return goal == .sslRequest ? .acceptsSessions : .send(startup())
    case UInt8(ascii: "S"), UInt8(ascii: "N"): return fail(.protocolViolation(.unexpected("bytes after the answer to SSLRequest")))
    case UInt8(ascii: "E"):
      // A postmaster that cannot fork says so before it has read a word.
      state = .starting
      return nil
    default: return fail(.protocolViolation(.unexpected("answer to SSLRequest")))
    }
  }

  private mutating func receive(_ message: BackendMessage) -> Action? {
    switch (state, message) {
    case (.asking(.whole, nil), .errorResponse(let error)) where error.leavesSession:
      // A function that is missing or not ours to call will be so the next time; what else went wrong need not.
      if error.state.isLasting { question = .role }
      state = .askingLess
      return nil
    case (.askingLess, .readyForQuery):
      return .send(ask(.role))
    case (_, .errorResponse(let error)):
      // An ERROR would leave the session alive; but one that cannot answer this question is not worth keeping.
      return fail(SessionFailure(error))
    case (.starting, .parameterStatus(name: "server_version", let version)):
      question = RecoveryQuestion(serverVersion: version)
      return nil
    case (_, .noticeResponse), (.starting, .parameterStatus), (.ready, .parameterStatus), (.asking, .parameterStatus):
      return nil

    case (.authenticating(var authenticator), .authentication(let request)):
      if goal == .startup, request != .ok { return .acceptsSessions }
      let action = authenticator.received(request)
      state = .authenticating(authenticator)
      return perform(action)
    case (.authenticating, .negotiateProtocolVersion):
      // We speak 3.0 and asked for no options: there is nothing to go back from.
      return nil

    case (.starting, .backendKeyData):
      return nil
    case (.starting, .readyForQuery):
      state = .ready
      return goal == .role ? .becameReady : .acceptsSessions

    case (.asking(_, nil), .rowDescription), (.asking, .commandComplete):
      return nil
    case (.asking(let question, nil), .dataRow(let values)):
      guard let status = question.status(of: values) else {
        return fail(.protocolViolation(.unexpected("row, neither true nor false")))
      }
      state = .asking(question, status)
      return nil
    case (.asking(_, let status), .readyForQuery):
      guard let status else { return fail(.protocolViolation(.unexpected("end of a query without a row"))) }
      state = .ready
      defer { lastAnswer = status }
      return .answered(status.settled(after: lastAnswer))

    case (.unconnected, _), (.negotiating, _), (.securing, _), (.authenticating, _), (.starting, _), (.ready, _), (.asking, _),
      (.askingLess, _), (.ended, _):
      return fail(.protocolViolation(.unexpected(message.label)))
    }
  }

  private mutating func perform(_ action: Authenticator.Action) -> Action? {
    switch action {
    case .send(let message): return .send(message.encoded)
    case .derive(let derivation): return .derive(derivation)
    case .wait: return nil
    case .succeed:
      state = .starting
      return nil
    case .fail(let failure): return fail(.authentication(failure))
    }
  }

  private mutating func fail(_ failure: SessionFailure) -> Action {
    state = .ended
    return .fail(failure)
  }
}

extension BackendMessage {
  /// The message's name in the protocol's documentation, for errors.
  fileprivate var label: String {
    switch self {
    case .authentication: "Authentication"
    case .parameterStatus: "ParameterStatus"
    case .backendKeyData: "BackendKeyData"
    case .readyForQuery: "ReadyForQuery"
    case .rowDescription: "RowDescription"
    case .dataRow: "DataRow"
    case .commandComplete: "CommandComplete"
    case .emptyQueryResponse: "EmptyQueryResponse"
    case .errorResponse: "ErrorResponse"
    case .noticeResponse: "NoticeResponse"
    case .negotiateProtocolVersion: "NegotiateProtocolVersion"
    case .other(let type): "message of type \(type)"
    }
  }
}
