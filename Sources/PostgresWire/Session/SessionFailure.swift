/// Why a session did not come about or ended. The kinds are kept apart because they call for different people:
/// a wrong password is for whoever wrote the configuration, a server that is starting up is for nobody.
package enum SessionFailure: Error, Hashable, Sendable {
  case wrongPassword(ServerError)
  /// The server refuses this user, database or address: `28000`, `3D000`, `42501`.
  case accessDenied(ServerError)
  /// Starting up, shutting down or recovering: `57P03`.
  case notAccepting(ServerError)
  /// The server is ending this session: `57P01`, `57P02`.
  case shuttingDown(ServerError)
  case tooManyConnections(ServerError)
  /// Any other error of the server.
  case rejected(ServerError)
  /// TLS is required, and the server answers SSLRequest with no.
  case encryptionNotOffered
  /// We refuse, although the server would go on.
  case authentication(AuthenticationFailure)
  case protocolViolation(ProtocolViolation)
  /// The connection ended and the server had not said why.
  case closed(during: Phase)

  /// What was going on when the connection ended.
  package enum Phase: String, Hashable, Sendable {
    case connecting
    case negotiation = "SSLRequest"
    case handshake = "TLS handshake"
    case authentication
    case startup
    case query
    case idle
  }

  init(_ error: ServerError) {
    switch error.state {
    case .invalidPassword: self = .wrongPassword(error)
    case .invalidAuthorization, .databaseDoesNotExist, .insufficientPrivilege: self = .accessDenied(error)
    case .cannotConnectNow: self = .notAccepting(error)
    case .adminShutdown, .crashShutdown: self = .shuttingDown(error)
    case .tooManyConnections: self = .tooManyConnections(error)
    default: self = .rejected(error)
    }
  }
}

package enum ProtocolViolation: Hashable, Sendable, CustomStringConvertible {
  case wire(WireError)
  /// A message that does not belong here.
  case unexpected(String)
  /// Far more bytes than any honest answer has.
  case tooMuch

  package var description: String {
    switch self {
    case .wire(let error): error.description
    case .unexpected(let what): "unexpected \(what)"
    case .tooMuch: "more bytes than any answer has"
    }
  }
}
