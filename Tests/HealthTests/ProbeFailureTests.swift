import Glibc
import Model
import NIOCore
import NIOHTTP1
import PostgresWire
import Testing

@testable import Health

/// The tables from what went wrong to what is reported.
@Suite struct ProbeFailureTests {
  @Test func systemErrors() {
    let kinds: [(CInt, ProbeFailure.Kind)] = [
      (ECONNREFUSED, .refused), (ENOENT, .refused), (EAGAIN, .refused), (ECONNRESET, .reset), (EPIPE, .reset),
      (ETIMEDOUT, .timedOut), (EHOSTUNREACH, .unreachable), (ENETUNREACH, .unreachable), (EMFILE, .local), (ENFILE, .local),
      (ENOBUFS, .local), (EADDRNOTAVAIL, .local), (EACCES, .local), (EPERM, .local), (9999, .unreachable),
    ]
    for (code, kind) in kinds {
      #expect(ProbeFailure(IOError(errnoCode: code, reason: "connect")).kind == kind, "errno \(code)")
    }
    #expect(ProbeFailure(errno: ECONNREFUSED).description == "refused: connection refused")
  }

  @Test func networkLibraryErrors() {
    #expect(ProbeFailure(ChannelError.connectTimeout(.seconds(1))).kind == .timedOut)
    #expect(ProbeFailure(ChannelError.ioOnClosedChannel).kind == .closed)
    #expect(ProbeFailure(ChannelError.eof).kind == .closed)
    #expect(ProbeFailure(HTTPParserError.invalidEOFState).kind == .closed)
    #expect(ProbeFailure(HTTPParserError.headerOverflow).kind == .protocolError)
    #expect(ProbeFailure(HTTPParserError.invalidConstant).kind == .protocolError)
    #expect(ProbeFailure(SocketAddressError.unixDomainSocketPathTooLong).kind == .local)
    #expect(ProbeFailure(CancellationError()).kind == .unreachable)
  }

  @Test func postgresErrors() {
    let error = ServerError(severity: "FATAL", state: .adminShutdown, message: "bye")
    let kinds: [(SessionFailure, ProbeFailure.Kind)] = [
      (.wrongPassword(error), .authentication), (.accessDenied(error), .authentication), (.shuttingDown(error), .closed),
      (.authentication(.wrongServerSignature), .authentication), (.notAccepting(error), .badResponse),
      (.tooManyConnections(error), .badResponse), (.rejected(error), .badResponse),
      (.protocolViolation(.tooMuch), .protocolError), (.protocolViolation(.wire(.bareText("no fork"))), .badResponse),
      (.closed(during: .idle), .closed), (.encryptionNotOffered, .badResponse),
    ]
    for (reason, kind) in kinds { #expect(ProbeFailure(reason, connection: nil).kind == kind, "\(reason)") }
    #expect(ProbeFailure(.shuttingDown(error), connection: nil).description == "closed: the server ends the session: bye [57P01]")
    #expect(
      ProbeFailure(.closed(during: .query), connection: ProbeFailure(errno: ECONNRESET)).description
        == "reset: connection reset by peer (during query)")
  }

  /// What an operator reads. The language is the server's; what the function's name tells is in ours.
  @Test func sentences() {
    func detail(
      _ failure: (ServerError) -> SessionFailure, _ state: SQLState, _ message: String, _ detail: String? = nil,
      by routine: String? = nil
    ) -> String {
      let error = ServerError(severity: "FATAL", state: state, message: message, detail: detail, routine: routine)
      return ProbeFailure(failure(error), connection: nil).detail
    }
    #expect(
      detail(SessionFailure.accessDenied, "28000", "kein Eintrag", by: "ClientAuthentication")
        == "pg_hba.conf does not let us in: kein Eintrag [28000]")
    #expect(
      detail(SessionFailure.accessDenied, "28000", "Rolle »x« existiert nicht", by: "InitializeSessionUserId")
        == "no such user, or one that may not log in: Rolle »x« existiert nicht [28000]")
    #expect(
      detail(SessionFailure.accessDenied, "28000", "no") == "the server refuses this user, database or address: no [28000]")
    #expect(
      detail(SessionFailure.accessDenied, "42501", "permission denied for database \"d\"", "User does not have CONNECT privilege.")
        == "the user may not do this: permission denied for database \"d\" (User does not have CONNECT privilege.) [42501]")
    #expect(
      detail(
        SessionFailure.notAccepting, "57P03", "the database system is not accepting connections", "Hot standby mode is disabled.")
        == "the server takes no sessions now: the database system is not accepting connections (Hot standby mode is disabled.) [57P03]"
    )
    #expect(
      ProbeFailure(.closed(during: .connecting), connection: ProbeFailure(errno: ECONNREFUSED)).description
        == "refused: connection refused")
    #expect(ProbeFailure(.closed(during: .negotiation), connection: nil).detail == "the connection was closed (during SSLRequest)")
  }

  /// What a server says goes to logs and terminals.
  @Test func peersDoNotFormatOurLogs() {
    let text = "a\nb\u{1b}[31mc\u{7}\u{202e}d\0e é 字"
    #expect(printable(text) == "a b [31mc  d e é 字")
    #expect(printable(String(repeating: "x", count: 10_000)).count == 301)
    // One "character" may be made of any number of scalars.
    #expect(printable("e" + String(repeating: "\u{301}", count: 10_000)).unicodeScalars.count == 301)
  }

  @Test func judgementOfResponses() {
    let check = HTTPCheck(statuses: [200...299, 401...401], bodyContains: "ok")
    func judge(_ status: Int, _ body: String) -> ProbeFailure.Kind? {
      check.objection(to: HTTPExchange.Response(status: status, headers: [], body: Array(body.utf8)))?.kind
    }
    #expect(judge(200, "ok") == nil)
    #expect(judge(299, "it is ok") == nil)
    #expect(judge(401, "oook") == nil)
    #expect(judge(200, "o k") == .badResponse)
    #expect(judge(200, "") == .badResponse)
    #expect(judge(200, "o") == .badResponse)
    #expect(judge(300, "ok") == .badResponse)
    #expect(judge(400, "ok") == .badResponse)
  }
}

@Suite struct CryptoHashesTests {
  @Test func vectors() {
    let hashes = CryptoHashes()
    func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    #expect(hex(hashes.md5(Array("abc".utf8))) == "900150983cd24fb0d6963f7d28e17f72")
    #expect(hex(hashes.sha256(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    // RFC 4231, case 2.
    #expect(
      hex(hashes.hmacSHA256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
  }
}
