import Health
import Model
import NIOSSL
import Testing
import TestSupport

/// Servers that go wrong at each stage, with and without TLS: the probe ends as it must, and leaves nothing behind.
@Suite struct TLSStagesTests {
  enum Fault: CaseIterable {
    case silence, garbage, close, reset
  }

  /// Up to where the server behaves.
  enum Stage: CaseIterable {
    /// Not at all.
    case accept
    /// Answers SSLRequest with S; where TLS comes first, this is the same as `accept`.
    case negotiation
    /// Makes the handshake.
    case handshake
    /// Lets us in.
    case startup
  }

  private static let letIn: [UInt8] =
    [0x52, 0, 0, 0, 8, 0, 0, 0, 0] + [0x4b, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2] + [0x5a, 0, 0, 0, 5, 0x49]

  /// A Postgres server that behaves up to a stage.
  private static func postgres(_ fault: Fault, after stage: Stage, _ tls: NIOSSLContext) -> ScriptedServer.Script {
    { connection, event in
      guard case .received(let bytes) = event else { return }
      let isSSLRequest = bytes.starts(with: [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
      let isStartup = !isSSLRequest && bytes.first == 0
      switch stage {
      case .negotiation where isSSLRequest: connection.send("S")
      case .handshake where isSSLRequest, .startup where isSSLRequest:
        connection.send("S")
        connection.startTLS(tls)
      case .startup where isStartup: connection.send(letIn)
      case .accept, .negotiation, .handshake, .startup: misbehave(fault, connection)
      }
    }
  }

  private static func misbehave(_ fault: Fault, _ connection: ScriptedServer.Connection) {
    switch fault {
    case .silence: break
    case .garbage: connection.send((0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) })
    case .close: connection.close()
    case .reset: connection.reset()
    }
  }

  private static func context() async throws -> NIOSSLContext {
    let test = try await TestCertificate(for: "x.test")
    let certificate = try NIOSSLCertificate(bytes: Array(test.certificate.utf8), format: .pem)
    let key = try NIOSSLPrivateKey(bytes: Array(test.key.utf8), format: .pem)
    return try NIOSSLContext(
      configuration: .makeServerConfiguration(certificateChain: [.certificate(certificate)], privateKey: .privateKey(key)))
  }

  private func failure(
    of kind: HealthCheck.Kind, awaiting awaited: String? = nil, script: @escaping ScriptedServer.Script
  ) async throws -> ProbeFailure? {
    let server = try await ScriptedServer(script)
    let outcome = try await Checking.run { checking in
      // Silence is asked again, because on a busy machine a probe may not get as far in its time.
      let timeout = awaited == nil ? Duration.seconds(30) : .milliseconds(300)
      let interval = awaited == nil ? Duration.seconds(3600) : .milliseconds(700)
      checking.replace([ProbeTarget(kind, at: server.address, interval: interval, timeout: timeout)])
      let outcome = try await checking.outcomes(atLeast: 1)[0]
      if let awaited {
        try await checking.outcomes(until: "no \(awaited)") {
          $0.failure == ProbeFailure(.timedOut, "no \(awaited) within 300ms")
        }
      }
      try await eventually("the probe's connections are closed") { server.counts.open == 0 }
      return outcome
    }
    try await server.stop()
    return outcome.failure
  }

  @Test(arguments: Fault.allCases) func postgres(fault: Fault) async throws {
    let tls = try await Self.context()
    for stage in Stage.allCases {
      let kind = HealthCheck.Kind.postgres(PostgresCheck(depth: .role, tls: .require))
      let awaited =
        switch stage {
        case .accept: "answer to SSLRequest"
        case .negotiation: "TLS handshake"
        case .handshake: "authentication"
        case .startup: "answer to the query"
        }
      let failure = try await failure(
        of: kind, awaiting: fault == .silence ? awaited : nil, script: Self.postgres(fault, after: stage, tls))
      let kinds: [ProbeFailure.Kind] =
        switch fault {
        case .silence: [.timedOut]
        case .garbage: [.protocolError, .badResponse]
        // Closed with our bytes unread is reset, to the kernel.
        case .close, .reset: [.closed, .reset]
        }
      #expect(failure.map { kinds.contains($0.kind) } == true, "\(stage) \(String(describing: failure))")
    }
  }

  /// To the depth of one byte the handshake only serves to leave in good order, unless TLS is required.
  @Test func sslRequestWithoutAHandshake() async throws {
    let tls = try await Self.context()
    for fault in [Fault.garbage, .close] {
      for mode in [TLSMode.disable, .prefer] {
        let kind = HealthCheck.Kind.postgres(PostgresCheck(depth: .sslRequest, tls: mode))
        let failure = try await failure(of: kind, script: Self.postgres(fault, after: .negotiation, tls))
        #expect(failure == nil)
      }
      let strict = HealthCheck.Kind.postgres(PostgresCheck(depth: .sslRequest, tls: .require))
      let failure = try await failure(of: strict, script: Self.postgres(fault, after: .negotiation, tls))
      #expect(failure != nil)
    }
  }

  /// As libpq does: a handshake that fails is followed by a connection in the clear, in the same probe.
  @Test(arguments: [Fault.garbage, .close, .reset]) func preferenceIsNotInsistence(fault: Fault) async throws {
    let server = try await ScriptedServer { connection, event in
      guard case .received(let bytes) = event else { return }
      switch bytes.first {
      case 0 where bytes.count == 8: connection.send("S")
      case 0: connection.send(Self.letIn)
      case UInt8(ascii: "Q"):
        connection.send([0x44, 0, 0, 0, 11, 0, 1, 0, 0, 0, 1, 0x66, 0x43, 0, 0, 0, 6, 0x78, 0, 0x5a, 0, 0, 0, 5, 0x49])
      case UInt8(ascii: "X"): connection.close()
      default: Self.misbehave(fault, connection)
      }
    }
    try await Checking.run { checking in
      let kind = HealthCheck.Kind.postgres(PostgresCheck(depth: .role, tls: .prefer))
      checking.replace([ProbeTarget(kind, at: server.address, interval: .seconds(3600))])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].role == .primary, "\(outcomes)")
      #expect(server.counts.accepted == 2)
    }
    try await server.stop()
  }

  @Test(arguments: Fault.allCases) func handshakeAndHTTPS(fault: Fault) async throws {
    let tls = try await Self.context()
    for kind in [HealthCheck.Kind.tls(TLSCheck()), .http(HTTPCheck(tls: TLSCheck()))] {
      let failure = try await failure(of: kind, awaiting: fault == .silence ? "TLS handshake" : nil) { connection, event in
        if case .received = event { Self.misbehave(fault, connection) }
      }
      let expected: [ProbeFailure.Kind] =
        switch fault {
        case .silence: [.timedOut]
        case .garbage: [.protocolError]
        case .close, .reset: [.closed, .reset]
        }
      #expect(failure.map { expected.contains($0.kind) } == true, "\(kind) \(String(describing: failure))")
    }
    // After the handshake.
    let late = try await failure(of: .http(HTTPCheck(tls: TLSCheck())), awaiting: fault == .silence ? "response" : nil) {
      connection, event in
      switch event {
      case .accepted: connection.startTLS(tls)
      case .received: Self.misbehave(fault, connection)
      }
    }
    let expected: [ProbeFailure.Kind] =
      switch fault {
      case .silence: [.timedOut]
      case .garbage: [.protocolError]
      case .close, .reset: [.closed, .reset]
      }
    #expect(late.map { expected.contains($0.kind) } == true, "\(String(describing: late))")
  }

  /// Stopped in the middle of each stage: the checker ends, and so do the connections.
  @Test func stopInTheMiddle() async throws {
    let tls = try await Self.context()
    for stage in Stage.allCases {
      let server = try await ScriptedServer(Self.postgres(.silence, after: stage, tls))
      let checking = Checking()
      let kind = HealthCheck.Kind.postgres(PostgresCheck(depth: .role, tls: .require))
      checking.replace([ProbeTarget(kind, at: server.address)])
      try await eventually("something is under way") { server.counts.received.count >= 8 }
      await checking.checker.stop()
      try await eventually("nothing is left") { server.counts.open == 0 }
      #expect(checking.outcomes().isEmpty)
      try await server.stop()
    }
  }
}
