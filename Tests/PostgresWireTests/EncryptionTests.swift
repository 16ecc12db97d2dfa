import Testing

@testable import PostgresWire

/// Transcripts of what comes before the startup message.
@Suite struct EncryptionTests {
  private static let request = FrontendMessage.sslRequest.encoded
  private static let startup = FrontendMessage.startup([
    .init("user", "leba"), .init("database", "db"), .init("application_name", "leba"),
  ]).encoded

  private func session(_ encryption: PostgresSession.Encryption, goal: PostgresSession.Goal = .role) -> PostgresSession {
    PostgresSession(
      goal: goal, encryption: encryption, credentials: Credentials(user: "leba", password: Password("p"), linkIsPrivate: false),
      database: "db", nonce: Array(0..<18), hashes: ReferenceHashes())
  }

  @Test(arguments: [PostgresSession.Encryption.prefer, .require]) func serverThatOffersTLS(encryption: PostgresSession.Encryption) {
    var session = session(encryption)
    #expect(session.waitingFor == "connection")
    #expect(session.secured() == nil)
    #expect(session.connected() == Self.request)
    #expect(session.waitingFor == "answer to SSLRequest")
    #expect(session.received([]) == [])
    #expect(session.received(Array("S".utf8)) == [.startTLS])
    #expect(session.waitingFor == "TLS handshake")
    #expect(session.secured() == .send(Self.startup))
    #expect(session.secured() == nil)
    // Now that nobody listens, the password may be said.
    #expect(session.received(Server.authentication(3)) == [.send(FrontendMessage.password(Array("p".utf8)).encoded)])
    #expect(session.received(Server.authenticationOk + Server.ready) == [.becameReady])
  }

  @Test func serverThatOffersNone() {
    var preferring = session(.prefer)
    #expect(preferring.connected() == Self.request)
    #expect(preferring.received(Array("N".utf8)) == [.send(Self.startup)])
    #expect(preferring.received(Server.authentication(3)) == [.fail(.authentication(.cleartextPasswordRefused))])
    var requiring = session(.require)
    _ = requiring.connected()
    #expect(requiring.received(Array("N".utf8)) == [.fail(.encryptionNotOffered)])
    #expect(requiring.connectionEnded() == nil)
  }

  @Test func encryptionThatIsNotWanted() {
    var session = session(.disable)
    #expect(session.connected() == Self.startup)
  }

  /// CVE-2021-23222: bytes sent in the clear, to be taken for the server's own once the connection is encrypted.
  @Test func nothingMayFollowTheAnswer() {
    for answer in ["S", "N"] {
      for rest in [Server.authenticationOk, [0], Array("S".utf8)] {
        var session = session(.prefer)
        _ = session.connected()
        #expect(
          session.received(Array(answer.utf8) + rest)
            == [.fail(.protocolViolation(.unexpected("bytes after the answer to SSLRequest")))])
        #expect(session.secured() == nil)
      }
    }
  }

  @Test func answersThatAreNone() {
    for answer in ["s", "G", "R", "HTTP/1.1", "\0"] {
      var session = session(.prefer)
      _ = session.connected()
      #expect(session.received(Array(answer.utf8)) == [.fail(.protocolViolation(.unexpected("answer to SSLRequest")))])
    }
  }

  /// What a postmaster says that cannot fork, in one piece or in two.
  @Test func errorInsteadOfAnAnswer() {
    let text = Array("Ecould not fork new process for connection\n\0".utf8)
    for goal in [PostgresSession.Goal.sslRequest, .role] {
      for split in 1..<text.count {
        var session = session(.prefer, goal: goal)
        _ = session.connected()
        let actions = session.received(text[..<split]) + session.received(text[split...])
        guard case .fail(.protocolViolation(.wire(.bareText))) = actions.first, actions.count == 1 else {
          // Cut in its first word there is less of it to repeat.
          #expect(split < 7, "split at \(split): \(actions)")
          continue
        }
      }
      var session = session(.prefer, goal: goal)
      _ = session.connected()
      let error = ServerError(severity: "FATAL", state: .cannotConnectNow, message: "no")
      #expect(session.received(Server.error("FATAL", "57P03", "no")) == [.fail(.notAccepting(error))])
    }
  }

  @Test func depthOfOneByte() {
    for encryption in [PostgresSession.Encryption.disable, .prefer, .require] {
      var session = session(encryption, goal: .sslRequest)
      #expect(session.connected() == Self.request)
      #expect(session.received(Array("S".utf8)) == [.startTLS])
      #expect(session.secured() == .acceptsSessions)
      #expect(session.leave() == nil)
      #expect(session.connectionEnded() == nil)
    }
    var plain = session(.prefer, goal: .sslRequest)
    _ = plain.connected()
    #expect(plain.received(Array("N".utf8)) == [.acceptsSessions])
    #expect(plain.leave() == nil)
    var strict = session(.require, goal: .sslRequest)
    _ = strict.connected()
    #expect(strict.received(Array("N".utf8)) == [.fail(.encryptionNotOffered)])
  }

  @Test func endOfTheConnection() {
    var fresh = session(.prefer)
    #expect(fresh.connectionEnded() == .closed(during: .connecting))
    var asked = session(.prefer)
    _ = asked.connected()
    #expect(asked.connectionEnded() == .closed(during: .negotiation))
    var securing = session(.prefer)
    _ = securing.connected()
    _ = securing.received(Array("S".utf8))
    #expect(securing.isSecuring)
    #expect(securing.connectionEnded() == .closed(during: .handshake))
    #expect(securing.secured() == nil)
  }

  /// TLS owns the bytes until the handshake is made: what comes here all the same is no conversation.
  @Test func bytesDuringTheHandshake() {
    var session = session(.prefer)
    _ = session.connected()
    _ = session.received(Array("S".utf8))
    #expect(session.received(Server.authenticationOk) == [.fail(.protocolViolation(.unexpected("Authentication")))])
  }
}
