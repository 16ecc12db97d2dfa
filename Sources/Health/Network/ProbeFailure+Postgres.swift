import Model
import PostgresWire

// A server's SQLSTATE as a sentence for whoever is called at night: what is wrong, in whose words, and the code to look up.

extension ProbeFailure {
  /// `connection`: how the connection ended, where that is all there is to tell.
  init(_ reason: SessionFailure, connection: ProbeFailure?) {
    switch reason {
    case .wrongPassword(let error):
      self.init(.authentication, "the password is refused, or there is no such user (the server does not say which)", error)
    case .accessDenied(let error): self.init(.authentication, error.denial, error)
    case .authentication(let failure): self.init(.authentication, printable(failure.description))
    // The server's own announcement that it ends this session: the same news as the end of the connection, only kinder.
    case .shuttingDown(let error): self.init(.closed, "the server ends the session", error)
    // Starting up, shutting down, a standby not yet consistent or without hot standby: the server's words say which.
    case .notAccepting(let error): self.init(.badResponse, "the server takes no sessions now", error)
    case .tooManyConnections(let error): self.init(.badResponse, "no connection is free", error)
    case .rejected(let error): self.init(.badResponse, "the server reports an error", error)
    case .encryptionNotOffered: self.init(.badResponse, "TLS is required and the server does not offer it")
    case .protocolViolation(.wire(.bareText(let text))): self.init(.badResponse, printable(text))
    case .protocolViolation(let violation): self.init(.protocolError, printable(violation.description))
    case .closed(let phase):
      let connection = connection ?? .connectionClosed
      switch phase {
      case .connecting, .handshake: self = connection
      case .negotiation, .authentication, .startup, .query, .idle:
        self.init(connection.kind, "\(connection.detail) (during \(phase.rawValue))")
      }
    }
  }

  private init(_ kind: Kind, _ sentence: String, _ error: ServerError) {
    let detail = error.detail.map { " (\($0))" } ?? ""
    self.init(kind, printable("\(sentence): \(error.message)\(detail) [\(error.state)]"))
  }
}

extension ServerError {
  /// The same code stands for a missing user and for pg_hba.conf. The function that raised it tells them apart in every language.
  fileprivate var denial: String {
    switch (state, routine) {
    case (.databaseDoesNotExist, _): "no such database"
    case (.insufficientPrivilege, _): "the user may not do this"
    case (.invalidAuthorization, "ClientAuthentication"): "pg_hba.conf does not let us in"
    case (.invalidAuthorization, "InitializeSessionUserId"): "no such user, or one that may not log in"
    default: "the server refuses this user, database or address"
    }
  }
}
