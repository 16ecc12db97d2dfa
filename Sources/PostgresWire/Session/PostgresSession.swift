/// One client session that asks a server what it is: bytes and facts in, bytes and findings out; no socket, no clock.
///
/// Time-outs need no event of their own: whoever holds the connection drops it together with this value.
package struct PostgresSession: Sendable {
  /// How far the session goes.
  package enum Goal: Hashable, Sendable {
    /// Until the server has shown that it takes sessions: it asks for a password, or lets us in without one.
    case startup
    /// Until the server says in SQL what it is, as often as it is asked.
    case role
  }

  package enum Action: Hashable, Sendable {
    case send([UInt8])
    /// Run it where it holds up nobody, then call `keyDerived`.
    case derive(KeyDerivation)
    /// The goal `startup` is reached: `leave` and close.
    case acceptsSessions
    /// Authenticated, and `ask` may be called.
    case becameReady
    case answered(isInRecovery: Bool)
    /// Close.
    case fail(SessionFailure)

    /// What the server says after this does not matter any more.
    var isLast: Bool {
      switch self {
      case .acceptsSessions, .fail: true
      case .send, .derive, .becameReady, .answered: false
      }
    }
  }

  private enum State {
    /// → authenticating
    case unconnected
    /// → starting, ended
    case authenticating(Authenticator)
    /// The server let us in and tells its parameters. → ready, ended
    case starting
    /// → asking, ended
    case ready
    /// → ready, ended
    case asking(isInRecovery: Bool?)
    case ended
  }

  /// `pg_is_in_recovery()` turns false at the end of a promotion and not before, which is the moment writes work.
  /// Not `transaction_read_only`, though libpq asks for it: that is the default of *this* user's sessions, and a careful
  /// administrator sets it to on for a monitoring user, on a primary as well.
  static let question = "SELECT pg_catalog.pg_is_in_recovery()"

  /// What libpq allows an error message; nothing else we ask for comes near it.
  static let maximumMessageLength = 30_000
  /// For a whole startup, or for what comes between two questions: a server that talks without end is not one.
  static let maximumExchange = 256 * 1024

  private var state = State.unconnected
  private let goal: Goal
  private let credentials: Credentials
  private let database: String
  private let nonce: [UInt8]
  private let hashes: any PasswordHashes
  private var decoder = MessageDecoder(maximumLength: Self.maximumMessageLength)
  private var allowance = Self.maximumExchange

  /// `nonce`: unpredictable bytes, 18 or more, for this one session.
  package init(
    goal: Goal, credentials: Credentials, database: String, nonce: [UInt8], hashes: any PasswordHashes
  ) {
    self.goal = goal
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
    case .authenticating: "authentication"
    case .starting: "end of the startup"
    case .asking, .ready, .ended: "answer to the query"
    }
  }

  /// Gives the startup message.
  package mutating func connected() -> [UInt8] {
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
    state = .asking(isInRecovery: nil)
    allowance = Self.maximumExchange
    return FrontendMessage.query(Self.question).encoded
  }

  /// The peer ended the connection. Nil when its end was known or caused by us.
  package mutating func connectionEnded() -> SessionFailure? {
    defer { state = .ended }
    switch state {
    case .unconnected, .authenticating: return .closed(during: .authentication)
    case .starting: return .closed(during: .startup)
    case .ready: return .closed(during: .idle)
    case .asking: return .closed(during: .query)
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
    case .unconnected, .authenticating, .ended: return nil
    case .starting, .ready, .asking: return FrontendMessage.terminate.encoded
    }
  }
}

extension PostgresSession {
  private mutating func receive(_ message: BackendMessage) -> Action? {
    switch (state, message) {
    case (_, .errorResponse(let error)):
      // An ERROR would leave the session alive; but one that cannot answer this question is not worth keeping.
      return fail(SessionFailure(error))
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
      return goal == .startup ? .acceptsSessions : .becameReady

    case (.asking(isInRecovery: nil), .rowDescription), (.asking, .commandComplete):
      return nil
    case (.asking(isInRecovery: nil), .dataRow(let values)):
      switch values {
      case [Array("t".utf8)]: state = .asking(isInRecovery: true)
      case [Array("f".utf8)]: state = .asking(isInRecovery: false)
      default: return fail(.protocolViolation(.unexpected("row, neither true nor false")))
      }
      return nil
    case (.asking(let answer), .readyForQuery):
      guard let answer else { return fail(.protocolViolation(.unexpected("end of a query without a row"))) }
      state = .ready
      return .answered(isInRecovery: answer)

    case (.unconnected, _), (.authenticating, _), (.starting, _), (.ready, _), (.asking, _), (.ended, _):
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
