import Testing

@testable import PostgresWire

@Suite struct RecoveryQuestionTests {
  private func session(version: String) -> PostgresSession {
    var session = PostgresSession(
      goal: .role, encryption: .disable, credentials: Credentials(user: "leba", password: nil, linkIsPrivate: false),
      database: "db", nonce: Array(0..<18), hashes: ReferenceHashes())
    _ = session.connected()
    #expect(
      session.received(Server.authenticationOk + Server.parameter("server_version", version) + Server.ready) == [.becameReady])
    return session
  }

  @Test func versions() {
    let versions: [(String, RecoveryQuestion)] = [
      ("15.8 (Debian 15.8-0+deb12u1)", .whole(.wal)), ("17beta1", .whole(.wal)), ("10.0", .whole(.wal)), ("18devel", .whole(.wal)),
      ("9.6.24", .whole(.xlog)), ("9.6", .whole(.xlog)), ("9.5.25", .role), ("9", .role), ("8.4", .role), ("", .role),
      ("fifteen", .role), ("99999999999999999999.1", .role), (".15", .whole(.wal)), ("١٥", .role),
    ]
    for (version, question) in versions { #expect(RecoveryQuestion(serverVersion: version) == question, "\(version)") }
  }

  /// The names of 9.6, which no server here has to contradict.
  @Test func namesOfOldVersions() {
    let old = RecoveryQuestion.whole(.xlog).sql
    for name in [
      "pg_last_xlog_receive_location()", "pg_last_xlog_replay_location()", "pg_xlog_location_diff(", "pg_xlogfile_name(",
      "pg_current_xlog_location()",
    ] { #expect(old.contains(name)) }
    #expect(!old.contains("_lsn") && !old.contains("pg_wal"))
    #expect(!RecoveryQuestion.whole(.wal).sql.contains("xlog"))
  }

  @Test func answers() {
    let answers: [([String?], RecoveryStatus?)] = [
      (["f", "0000000A", nil, nil], RecoveryStatus(isInRecovery: false, timeline: 10)),
      (
        ["t", "2", "1500000", "16384"],
        RecoveryStatus(isInRecovery: true, timeline: 2, lagTime: .milliseconds(1500), lagBytes: 16384)
      ),
      (["t", "2", "0", "0"], RecoveryStatus(isInRecovery: true, timeline: 2, lagTime: .zero, lagBytes: 0)),
      (["t", nil, nil, nil], RecoveryStatus(isInRecovery: true)),
      // What is no number is not known.
      (["t", "xyz", "many", "-1"], RecoveryStatus(isInRecovery: true)),
      (["t", "100000000", "-5", "99999999999999999999"], RecoveryStatus(isInRecovery: true, lagTime: .zero)),
      (["t", "", "", ""], RecoveryStatus(isInRecovery: true)),
      (["t"], nil), ([], nil), (["t", nil, nil], nil), (["t", nil, nil, nil, nil], nil), ([nil, "1", nil, nil], nil),
      (["true", "1", nil, nil], nil),
    ]
    for (row, status) in answers {
      #expect(RecoveryQuestion.whole(.wal).status(of: row.map { $0.map { Array($0.utf8) } }) == status, "\(row)")
      var session = session(version: "15.8")
      #expect(session.ask() == FrontendMessage.query(RecoveryQuestion.whole(.wal).sql).encoded)
      let actions = session.received(Server.row(row) + Server.complete + Server.ready)
      if let status {
        #expect(actions == [.answered(status)])
      } else {
        #expect(actions == [.fail(.protocolViolation(.unexpected("row, neither true nor false")))])
      }
    }
  }

  @Test func firstWriteAfterAnHour() {
    var session = session(version: "15.8")
    func ask(_ time: String?, _ bytes: String) -> Duration? {
      _ = session.ask()
      guard case .answered(let status) = session.received(Server.answer("t", "1", time, bytes)).first else { return .seconds(-1) }
      #expect(status.lagBytes == UInt64(bytes))
      return status.lagTime
    }
    // The first answer of a session has nothing to be compared with.
    #expect(ask("3600000000", "8") == .seconds(3600))
    #expect(ask("0", "0") == .zero)
    #expect(ask("3600000000", "8") == .zero)
    #expect(ask("0", "0") == .zero)
    // Twice in a row is late.
    #expect(ask("3600000000", "8") == .zero)
    #expect(ask("3600300000", "8") == .milliseconds(3_600_300))
    #expect(ask(nil, "8") == nil)
    #expect(ask("0", "0") == .zero)
    #expect(ask(nil, "8") == nil)
  }

  /// A right that was taken away costs the numbers, not the role, and one question more, once.
  @Test(arguments: ["42501", "42883", "0A000"]) func serverThatCannotAnswerAll(state: String) {
    var session = session(version: "15.8")
    let short = FrontendMessage.query(RecoveryQuestion.role.sql).encoded
    _ = session.ask()
    #expect(session.received(Server.error("ERROR", state, "no")) == [])
    #expect(session.waitingFor == "answer to the query")
    #expect(session.received(Server.ready) == [.send(short)])
    #expect(session.received(Server.answer("t")) == [.answered(RecoveryStatus(isInRecovery: true))])
    #expect(session.ask() == short)
    #expect(session.received(Server.answer("f")) == [.answered(RecoveryStatus(isInRecovery: false))])
  }

  @Test func errorThatMayPass() {
    var session = session(version: "15.8")
    let whole = session.ask()
    #expect(session.received(Server.error("ERROR", "40001", "conflict") + Server.ready).count == 1)
    #expect(session.received(Server.answer("t")) == [.answered(RecoveryStatus(isInRecovery: true))])
    #expect(session.ask() == whole)
  }

  @Test func errorsWithoutEnd() {
    var session = session(version: "15.8")
    _ = session.ask()
    let error = ServerError(severity: "ERROR", state: "42501", message: "no")
    #expect(session.received(Server.error("ERROR", "42501", "no") + Server.ready).count == 1)
    #expect(session.received(Server.error("ERROR", "42501", "no") + Server.ready) == [.fail(.accessDenied(error))])
  }

  @Test func endOfTheSessionInsteadOfAnAnswer() {
    var asked = session(version: "15.8")
    _ = asked.ask()
    let error = ServerError(severity: "FATAL", state: "57P01", message: "bye")
    #expect(asked.received(Server.error("FATAL", "57P01", "bye")) == [.fail(.shuttingDown(error))])
    var refused = session(version: "15.8")
    _ = refused.ask()
    _ = refused.received(Server.error("ERROR", "42501", "no"))
    #expect(refused.connectionEnded() == .closed(during: .query))
    var chatty = session(version: "15.8")
    _ = chatty.ask()
    _ = chatty.received(Server.error("ERROR", "42501", "no"))
    #expect(chatty.received(Server.row("t")) == [.fail(.protocolViolation(.unexpected("DataRow")))])
  }
}
