import Model
import Testing

@testable import PostgresWire

/// Transcripts: event == actions.
@Suite struct PostgresSessionTests {
  private static let nonce: [UInt8] = Array(0..<18)
  private static let clientNonce = "AAECAwQFBgcICQoLDA0ODxAR"
  private static let question = FrontendMessage.query("SELECT pg_catalog.pg_is_in_recovery()").encoded
  private static let letIn =
    Server.authenticationOk + Server.parameter("client_encoding", "UTF8") + Server.keyData + Server.notice("psst") + Server.ready

  private func session(_ goal: PostgresSession.Goal, password: String? = "pencil") -> PostgresSession {
    var session = PostgresSession(
      goal: goal, encryption: .disable,
      credentials: Credentials(user: "leba", password: password.map(Password.init), linkIsPrivate: false),
      database: "db", nonce: Self.nonce, hashes: ReferenceHashes())
    #expect(
      session.connected()
        == FrontendMessage.startup([.init("user", "leba"), .init("database", "db"), .init("application_name", "leba")]).encoded)
    return session
  }

  private func readySession() -> PostgresSession {
    var session = session(.role)
    #expect(session.received(Self.letIn) == [.becameReady])
    return session
  }

  @Test func roleOfAServerThatTrustsUs() {
    var session = session(.role)
    #expect(session.ask() == nil)
    #expect(session.received(Server.authenticationOk) == [])
    #expect(session.ask() == nil)
    #expect(session.received(Server.parameter("in_hot_standby", "on") + Server.keyData) == [])
    #expect(session.received(Server.ready) == [.becameReady])
    #expect(session.ask() == Self.question)
    #expect(session.ask() == nil)
    #expect(session.received(Server.answer("t")) == [.answered(RecoveryStatus(isInRecovery: true))])
    // Promoted.
    #expect(session.ask() == Self.question)
    #expect(
      session.received(Server.parameter("in_hot_standby", "off") + Server.answer("f")) == [
        .answered(RecoveryStatus(isInRecovery: false))
      ])
    #expect(session.leave() == FrontendMessage.terminate.encoded)
    #expect(session.connectionEnded() == nil)
  }

  @Test func passwordWithSCRAM() {
    var session = session(.role)
    guard case .send? = session.received(Server.scramOffered).first else {
      Issue.record("no first message")
      return
    }
    let server = TestServer(salted: [1, 2, 3])
    let first = "r=\(Self.clientNonce)x,s=c2FsdA==,i=4096"
    guard case .derive? = session.received(Server.authentication(11, Array(first.utf8))).first else {
      Issue.record("no derivation")
      return
    }
    let transcript = "n=,r=\(Self.clientNonce),\(first),c=biws,r=\(Self.clientNonce)x"
    #expect(
      session.keyDerived(SaltedPassword(bytes: server.salted))
        == .send(
          FrontendMessage.saslResponse(Array("c=biws,r=\(Self.clientNonce)x,p=\(server.proof(transcript))".utf8)).encoded))
    // PostgreSQL sends all of this in one piece.
    let final = Server.authentication(12, Array("v=\(server.signature(transcript))".utf8))
    #expect(session.received(final + Self.letIn) == [.becameReady])
  }

  @Test func wrongServerSignature() {
    var session = session(.role)
    _ = session.received(Server.scramOffered)
    let first = "r=\(Self.clientNonce)x,s=c2FsdA==,i=4096"
    guard case .derive? = session.received(Server.authentication(11, Array(first.utf8))).first else {
      Issue.record("no derivation")
      return
    }
    _ = session.keyDerived(SaltedPassword(bytes: [1, 2, 3]))
    let forged = Server.authentication(12, Array("v=\(Base64.encode([UInt8](repeating: 0, count: 32)))".utf8))
    #expect(session.received(forged + Self.letIn) == [.fail(.authentication(.wrongServerSignature))])
    #expect(session.leave() == nil)
  }

  @Test func derivationThatComesTooLate() {
    var session = session(.role)
    #expect(session.keyDerived(SaltedPassword(bytes: [1, 2, 3])) == nil)
    _ = session.connectionEnded()
    #expect(session.keyDerived(SaltedPassword(bytes: [1, 2, 3])) == nil)
  }

  @Test func startupEndsAtThePasswordRequest() {
    for request in [
      Server.scramOffered, Server.authentication(3), Server.authentication(5, [1, 2, 3, 4]), Server.authentication(7),
    ] {
      var session = session(.startup, password: nil)
      // Whatever follows in the same read does not matter any more.
      #expect(session.received(request + Server.error("FATAL", "57P01", "bye")) == [.acceptsSessions])
      // Terminate would be logged as "expected password response, got message type 88".
      #expect(session.leave() == nil)
      #expect(session.connectionEnded() == nil)
      #expect(session.received(Self.letIn) == [])
    }
  }

  @Test func startupOfAServerThatTrustsUs() {
    var session = session(.startup)
    #expect(session.received(Server.authenticationOk) == [])
    #expect(session.received(Server.parameter("a", "b") + Server.keyData + Server.ready) == [.acceptsSessions])
    #expect(session.leave() == FrontendMessage.terminate.encoded)
  }

  @Test func kindsOfErrors() {
    let kinds: [(String, (ServerError) -> SessionFailure)] = [
      ("28P01", SessionFailure.wrongPassword), ("28000", SessionFailure.accessDenied), ("3D000", SessionFailure.accessDenied),
      ("42501", SessionFailure.accessDenied), ("57P03", SessionFailure.notAccepting), ("57P01", SessionFailure.shuttingDown),
      ("57P02", SessionFailure.shuttingDown), ("53300", SessionFailure.tooManyConnections), ("XX000", SessionFailure.rejected),
      ("", SessionFailure.rejected),
    ]
    for (state, kind) in kinds {
      let failure = kind(ServerError(severity: "FATAL", state: SQLState(state), message: "no"))
      let bytes = Server.error("FATAL", state, "no")
      var early = session(.startup)
      #expect(early.received(bytes) == [.fail(failure)])
      #expect(early.connectionEnded() == nil)
      var late = readySession()
      #expect(late.received(bytes) == [.fail(failure)])
      #expect(late.leave() == nil)
      var asking = readySession()
      _ = asking.ask()
      #expect(asking.received(bytes + Server.ready) == [.fail(failure)])
    }
  }

  @Test func endOfTheConnectionSaysWhatWasGoingOn() {
    var fresh = session(.role)
    #expect(fresh.connectionEnded() == .closed(during: .authentication))
    #expect(fresh.connectionEnded() == nil)
    var starting = session(.role)
    _ = starting.received(Server.authenticationOk)
    #expect(starting.connectionEnded() == .closed(during: .startup))
    var ready = readySession()
    #expect(ready.connectionEnded() == .closed(during: .idle))
    var asking = readySession()
    _ = asking.ask()
    #expect(asking.connectionEnded() == .closed(during: .query))
    #expect(asking.ask() == nil)
  }

  @Test func answersThatAreNone() {
    let answers: [[UInt8]] = [
      Server.answer(nil), Server.answer(""), Server.answer("true"), Server.complete + Server.ready, Server.ready,
      Server.row("t") + Server.row("f"), Server.message("D", Server.int16(0)), Server.message("I") + Server.ready,
    ]
    for answer in answers {
      var session = readySession()
      _ = session.ask()
      guard let action = session.received(answer).first, case .fail(.protocolViolation) = action else {
        Issue.record("accepted \(answer)")
        continue
      }
    }
  }

  @Test func messagesThatDoNotBelongHere() {
    var early = session(.role)
    #expect(early.received(Server.ready) == [.fail(.protocolViolation(.unexpected("ReadyForQuery")))])
    var starting = session(.role)
    _ = starting.received(Server.authenticationOk)
    #expect(starting.received(Server.authenticationOk) == [.fail(.protocolViolation(.unexpected("Authentication")))])
    var idle = readySession()
    #expect(idle.received(Server.row("f")) == [.fail(.protocolViolation(.unexpected("DataRow")))])
    var chatty = readySession()
    #expect(
      chatty.received(Server.message("A", [0])) == [.fail(.protocolViolation(.unexpected("message of type 65")))])
  }

  @Test func negotiationIsTolerated() {
    var session = session(.role)
    #expect(session.received(Server.message("v", Server.int32(0) + Server.int32(0)) + Self.letIn) == [.becameReady])
  }

  @Test func notPostgresAtAll() {
    var session = session(.startup)
    #expect(
      session.received(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
        == [.fail(.protocolViolation(.wire(.lengthTooLong(0x5454_502f, bound: 30_000))))])
  }

  @Test func serverThatNeverStopsTalking() {
    var session = session(.role)
    _ = session.received(Server.authenticationOk)
    let chatter = Server.parameter("a", String(repeating: "b", count: 20_000))
    var rounds = 0
    var actions: [PostgresSession.Action] = []
    while actions.isEmpty, rounds < 1000 {
      actions = session.received(chatter)
      rounds += 1
    }
    #expect(actions == [.fail(.protocolViolation(.tooMuch))])
    #expect(rounds < 20)
  }

  @Test func aKeptSessionMayAnswerForEver() {
    var session = readySession()
    for round in 0..<10_000 {
      guard session.ask() != nil else {
        Issue.record("not ready in round \(round)")
        return
      }
      #expect(session.received(Server.answer("f")) == [.answered(RecoveryStatus(isInRecovery: false))])
    }
  }

  @Test func everySplitOfAConversation() {
    let bytes = Self.letIn
    for split in 0...bytes.count {
      var session = session(.role)
      let actions = session.received(bytes[..<split]) + session.received(bytes[split...])
      #expect(actions == [.becameReady], "split at \(split)")
    }
  }

  @Test func mutatedConversations() {
    var random = SeededGenerator(seed: 5432)
    for _ in 0..<5000 {
      var session = session(.role)
      for part in [Self.letIn, Server.answer("f")] {
        var rest = mutated(part, using: &random)[...]
        while !rest.isEmpty {
          let chunk = rest.prefix(Int.random(in: 1...40, using: &random))
          rest = rest.dropFirst(chunk.count)
          for action in session.received(chunk) where action == .becameReady { _ = session.ask() }
        }
      }
      _ = session.leave()
      #expect(session.connectionEnded() == nil)
    }
  }
}
