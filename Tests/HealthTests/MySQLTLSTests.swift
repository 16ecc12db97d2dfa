import Health
import Model
import NIOCore
import NIOSSL
import Synchronization
import TestSupport
import Testing

private func check(_ user: String?, _ tls: TLSMode, password: String = "secret") -> HealthCheck.Kind {
  .mysql(MySQLCheck(user: user, password: user == nil ? nil : Secret(password), tls: tls))
}

extension MySQLProbeTests {
  @Test func aRealServerWithTLS() async throws {
    let server = try await MariaDBServer(TestCertificate(for: "db.example.test"))
    try await server.query(
      "CREATE USER sealed IDENTIFIED BY 'secret' REQUIRE SSL; CREATE USER open IDENTIFIED BY 'secret';")
    let before = try await server.status("ABORTED_CONNECTS_PREAUTH")
    let outcomes = try await Checking.firstOutcomes(
      [
        check("sealed", .prefer), check("sealed", .require), check("open", .prefer), check("open", .disable), check(nil, .prefer),
        check(nil, .require), check("sealed", .disable), check("sealed", .require, password: "wrong"),
      ], at: .loopback(server.port))
    #expect(outcomes.prefix(6).allSatisfy { $0.isPass }, "\(outcomes)")
    #expect(outcomes.suffix(2).allSatisfy { $0.failure?.kind == .authentication }, "\(outcomes)")
    // On a unix socket nobody listens.
    let socket = try await Checking.firstOutcomes([check("open", .require)], at: .unix(path: server.socket))
    #expect(socket.allSatisfy { $0.isPass }, "\(socket)")
    try await eventually("all sessions have ended") { try await server.status("THREADS_CONNECTED") == 1 }
    #expect(try await server.status("ABORTED_CONNECTS_PREAUTH") == before)
  }

  @Test func aRealServerWithoutTLS() async throws {
    let server = try await MariaDBServer()
    try await server.query("CREATE USER app IDENTIFIED BY 'secret'")
    let before = try await server.status("ABORTED_CONNECTS_PREAUTH")
    let outcomes = try await Checking.firstOutcomes(
      [check("app", .prefer), check("app", .require)], at: .loopback(server.port))
    #expect(outcomes[0].isPass)
    #expect(
      outcomes[1].failure?.description == "authentication: the server does not offer TLS, which `tls: require` asks for")
    #expect(try await server.status("ABORTED_CONNECTS_PREAUTH") == before)
  }
}

/// Against a scripted server that authenticates as MySQL 8 does.
@Suite(.serialized) struct MySQLTLSTests {
  @Test func theEndOfAnEncryptedSessionIsNewsAtOnce() async throws {
    let server = try await Caching(certificate: TestCertificate(for: "db.example.test"), isCold: false)
    try await Checking.run { checking in
      checking.replace([ProbeTarget(check("app", .require), at: server.address, interval: .seconds(3600))])
      #expect(try await checking.outcomes(atLeast: 1)[0].isPass)
      server.endAll()
      let outcomes = try await checking.outcomes(atLeast: 2)
      #expect([.closed, .reset].contains(outcomes[1].failure?.kind), "\(outcomes)")
    }
  }

  @Test(arguments: [true, false]) func cachingSHA2OverTLS(isCold: Bool) async throws {
    let server = try await Caching(certificate: TestCertificate(for: "db.example.test"), isCold: isCold)
    let outcomes = try await Checking.firstOutcomes([check("app", .prefer)], at: server.address)
    #expect(outcomes[0].isPass, "\(outcomes)")
    #expect(server.passwords == (isCold ? [Array("secret".utf8) + [0]] : []))
  }

  @Test func cachingSHA2InTheClear() async throws {
    let cold = try await Caching(certificate: nil, isCold: true)
    let refused = try await Checking.firstOutcomes([check("app", .prefer)], at: cold.address)
    #expect(refused[0].failure?.kind == .authentication)
    #expect(refused[0].failure?.detail.contains("wants it over TLS, which it does not offer: use TLS") == true, "\(refused)")
    // An answer that is no password.
    #expect(cold.passwords == [[0]])
    let warm = try await Caching(certificate: nil, isCold: false)
    #expect(try await Checking.firstOutcomes([check("app", .prefer)], at: warm.address)[0].isPass)
  }

  /// A server whose TLS is broken: where it is only preferred, a second connection does without.
  @Test func aHandshakeThatFailsIsASetbackOnlyWhereTLSIsRequired() async throws {
    let server = try await Caching(certificate: nil, isCold: false, breaksTLS: true)
    let outcomes = try await Checking.firstOutcomes([check("app", .prefer), check("app", .require)], at: server.address)
    #expect(outcomes[0].isPass, "\(outcomes)")
    #expect(outcomes[1].failure != nil)
  }
}

/// Speaks as MySQL 8 does to an account of `caching_sha2_password` with the password `secret`.
private final class Caching: Sendable {
  private struct Talk {
    var buffer: [UInt8] = []
    var isEncrypted = false
    var isReady = false
    var hasLoggedIn = false
  }

  private final class State: Sendable {
    let talks = Mutex<[ObjectIdentifier: Talk]>([:])
    let passwords = Mutex<[[UInt8]]>([])
  }

  private let state = State()
  private let server: ScriptedServer
  var address: Model.SocketAddress { server.address }
  /// What was sent after the server had asked for the password itself.
  var passwords: [[UInt8]] { state.passwords.withLock { $0 } }

  func endAll() { server.forEachConnection { $0.close() } }

  init(certificate: TestCertificate?, isCold: Bool, breaksTLS: Bool = false) async throws {
    let context = try certificate.map(Self.context)
    let state = state
    server = try await ScriptedServer { connection, event in
      switch event {
      case .accepted:
        state.talks.withLock { $0[connection.id] = Talk() }
        connection.send(Self.greeting(offersTLS: context != nil || breaksTLS))
      case .received(let bytes):
        var talk = state.talks.withLock { $0[connection.id] } ?? Talk()
        defer { state.talks.withLock { [talk] in $0[connection.id] = talk } }
        talk.buffer += bytes
        while talk.buffer.count >= 4, talk.buffer.count >= 4 + Int(talk.buffer[0]) {
          let payload = Array(talk.buffer[4..<(4 + Int(talk.buffer[0]))])
          let sequence = talk.buffer[3]
          talk.buffer.removeFirst(4 + payload.count)
          func answer(_ payload: [UInt8], _ number: UInt8 = 1) {
            connection.send([UInt8(payload.count), 0, 0, sequence + number] + payload)
          }
          let ok: [UInt8] = [0, 0, 0, 2, 0, 0, 0]
          if talk.isReady {
            if payload == [0x0e] { answer(ok) }
          } else if talk.hasLoggedIn {
            state.passwords.withLock { $0.append(payload) }
            talk.isReady = payload == Array("secret".utf8) + [0]
            answer(talk.isReady ? ok : [0xff, 0x15, 0x04] + Array("#28000Access denied".utf8))
          } else if payload.count == 32, !talk.isEncrypted {
            guard let context else { return connection.close() }
            talk.isEncrypted = true
            // The client does not wait for an answer: its first words to TLS may have come along.
            let early = talk.buffer
            talk.buffer = []
            connection.startTLS(context, received: early)
          } else if isCold {
            talk.hasLoggedIn = true
            answer([1, 4])
          } else {
            talk.isReady = true
            answer([1, 3])
            answer(ok, 2)
          }
        }
      }
    }
  }

  private static func greeting(offersTLS: Bool) -> [UInt8] {
    var payload: [UInt8] = [10] + Array("8.4.0".utf8) + [0, 1, 0, 0, 0] + [UInt8](1...8) + [0]
    payload += [0xff, offersTLS ? 0xff : 0xf7, 45, 2, 0, 0xff, 0xdf, 21] + [UInt8](repeating: 0, count: 10)
    payload += [UInt8](9...20) + [0] + Array("caching_sha2_password".utf8) + [0]
    return [UInt8(payload.count), 0, 0, 0] + payload
  }

  private static func context(_ certificate: TestCertificate) throws -> NIOSSLContext {
    let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.certificate.utf8))
    let key = try NIOSSLPrivateKey(bytes: Array(certificate.key.utf8), format: .pem)
    return try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key)))
  }
}
