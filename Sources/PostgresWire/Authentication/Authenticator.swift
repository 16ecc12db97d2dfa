/// Answers a server's authentication requests: trust, MD5, SCRAM-SHA-256, and a cleartext password where nobody can listen.
package struct Authenticator: Sendable {
  private enum State {
    /// → passwordSent, awaitingChallenge, done, failed
    case idle
    /// → done, failed
    case passwordSent
    /// → deriving, failed
    case awaitingChallenge(SCRAMClient)
    /// → awaitingSignature, failed
    case deriving(SCRAMClient)
    /// → serverProved, failed
    case awaitingSignature(expected: [UInt8])
    /// → done, failed
    case serverProved
    case done
    case failed
  }

  package enum Action: Hashable, Sendable {
    case send(FrontendMessage)
    /// Run it, then call `derived`.
    case derive(KeyDerivation)
    case wait
    case succeed
    case fail(AuthenticationFailure)
  }

  private var state = State.idle
  private let credentials: Credentials
  private let nonce: [UInt8]
  private let hashes: any PasswordHashes

  /// `nonce`: unpredictable bytes, 18 or more, for this one authentication.
  package init(credentials: Credentials, nonce: [UInt8], hashes: any PasswordHashes) {
    self.credentials = credentials
    self.nonce = nonce
    self.hashes = hashes
  }

  package mutating func received(_ request: AuthenticationRequest) -> Action {
    do throws(AuthenticationFailure) {
      return try advance(request)
    } catch {
      state = .failed
      return .fail(error)
    }
  }

  /// The end of the derivation that was asked for. One that comes too late is ignored.
  package mutating func derived(_ key: SaltedPassword) -> Action {
    guard case .deriving(let client) = state else { return .wait }
    let (message, signature) = client.finalMessage(key, using: hashes)
    state = .awaitingSignature(expected: signature)
    return .send(.saslResponse(message))
  }

  private mutating func advance(_ request: AuthenticationRequest) throws(AuthenticationFailure) -> Action {
    switch (state, request) {
    case (.idle, .ok), (.passwordSent, .ok), (.serverProved, .ok):
      state = .done
      return .succeed
    case (.idle, .cleartextPassword):
      guard credentials.linkIsPrivate else { throw .cleartextPasswordRefused }
      let password = try password()
      state = .passwordSent
      return .send(.password(password.utf8))
    case (.idle, .md5Password(let salt)):
      let password = try password()
      state = .passwordSent
      return .send(.password(MD5Password.response(user: credentials.user, password: password, salt: salt, hashes: hashes)))
    case (.idle, .sasl(let mechanisms)):
      guard mechanisms.contains(SCRAMClient.mechanism) else { throw .unsupportedMechanisms(mechanisms) }
      let client = SCRAMClient(password: try password(), nonce: Base64.encode(nonce))
      state = .awaitingChallenge(client)
      return .send(.saslInitialResponse(mechanism: SCRAMClient.mechanism, data: client.firstMessage))
    case (.awaitingChallenge(var client), .saslContinue(let message)):
      let derivation = try client.challenged(message)
      state = .deriving(client)
      return .derive(derivation)
    case (.awaitingSignature(let expected), .saslFinal(let message)):
      try SCRAMClient.verify(message, against: expected)
      state = .serverProved
      return .wait
    case (.idle, .unsupported(let code)): throw .unsupportedMethod(code: code)
    case (_, .ok), (_, .cleartextPassword), (_, .md5Password), (_, .sasl), (_, .saslContinue), (_, .saslFinal), (_, .unsupported):
      throw .outOfOrder
    }
  }

  private func password() throws(AuthenticationFailure) -> Password {
    guard let password = credentials.password else { throw .passwordRequired }
    return password
  }
}
