import Health
import Model
import Testing
import TestSupport

/// Handshakes and HTTPS against a real web server.
@Suite struct TLSProbeTests {
  private func outcome(_ kind: HealthCheck.Kind, at address: Model.SocketAddress) async throws -> ProbeOutcome {
    try await Checking.run { checking in
      checking.replace([ProbeTarget(kind, at: address, interval: .seconds(3600))])
      return try await checking.outcomes(atLeast: 1)[0]
    }
  }

  private func address(_ server: TLSWebServer) throws -> Model.SocketAddress {
    guard let address = Model.SocketAddress("\(server.endpoint)") else { throw TestFailure("no address: \(server.endpoint)") }
    return address
  }

  @Test func handshakeAndCertificate() async throws {
    let certificate = try await TestCertificate(for: "web.test")
    let server = try await TLSWebServer(certificate)
    let files = try TemporaryDirectory()
    let known = try files.write(certificate.certificate, to: "known")
    let other = try files.write(try await TestCertificate(for: "web.test").certificate, to: "other")
    let cases: [(TLSCheck, String?)] = [
      (TLSCheck(), nil),
      (TLSCheck(serverName: "anything.test"), nil),
      (TLSCheck(serverName: "web.test", verifies: true, authorities: known), nil),
      (
        TLSCheck(serverName: "other.test", verifies: true, authorities: known),
        "bad_response: the server's certificate is for another name"
      ),
      // Without a name the address is what it must be for.
      (TLSCheck(verifies: true, authorities: known), "bad_response: the server's certificate is for another name"),
      (
        TLSCheck(serverName: "web.test", verifies: true, authorities: other),
        "bad_response: the server's certificate is not signed by a trusted authority"
      ),
      (
        TLSCheck(serverName: "web.test", verifies: true),
        "bad_response: the server's certificate is not signed by a trusted authority"
      ),
    ]
    for (check, failure) in cases {
      for kind in [HealthCheck.Kind.tls(check), .http(HTTPCheck(tls: check))] {
        let outcome = try await outcome(kind, at: try address(server))
        #expect(outcome.failure?.description == failure, "\(check)")
        #expect(outcome.isPass == (failure == nil), "\(check)")
      }
    }
    for authorities in [files.file("absent"), try files.write("no certificate", to: "empty")] {
      let check = TLSCheck(serverName: "web.test", verifies: true, authorities: authorities)
      for kind in [HealthCheck.Kind.tls(check), .http(HTTPCheck(tls: check))] {
        let failure = try await outcome(kind, at: try address(server)).failure
        #expect(failure?.kind == .local && failure?.detail.contains(authorities) == true, "\(String(describing: failure))")
      }
    }
    for name in ["", String(repeating: "a", count: 300), "a\0b"] {
      let failure = try await outcome(.tls(TLSCheck(serverName: name, verifies: true, authorities: known)), at: try address(server))
        .failure
      #expect(failure != nil, "\(name)")
    }
  }

  /// A file of authorities that is replaced is read again.
  @Test func authoritiesThatChange() async throws {
    let certificate = try await TestCertificate(for: "web.test")
    let server = try await TLSWebServer(certificate)
    let files = try TemporaryDirectory()
    let file = try files.write(try await TestCertificate(for: "web.test").certificate, to: "authorities")
    try await Checking.run { checking in
      let check = TLSCheck(serverName: "web.test", verifies: true, authorities: file)
      checking.replace([ProbeTarget(.tls(check), at: try address(server))])
      try await checking.outcomes(until: "not trusted") { $0.failure?.kind == .badResponse }
      try files.write(certificate.certificate, to: "authorities")
      try await checking.outcomes(until: "trusted") { $0.isPass }
    }
  }

  @Test func expiredCertificate() async throws {
    let certificate = try await TestCertificate(for: "web.test", days: -1)
    let server = try await TLSWebServer(certificate)
    let authorities = try TemporaryDirectory()
    let file = try authorities.write(certificate.certificate, to: "known")
    let outcome = try await outcome(
      .tls(TLSCheck(serverName: "web.test", verifies: true, authorities: file)), at: try address(server))
    #expect(outcome.failure?.kind == .badResponse)
    #expect(outcome.failure?.detail.hasPrefix("the server's certificate expired on 20") == true, "\(outcome)")
    let careless = try await self.outcome(.tls(TLSCheck()), at: try address(server))
    #expect(careless.isPass)
  }

  /// nginx answers with the name it was asked for.
  @Test func serverNames() async throws {
    let server = try await TLSWebServer(try await TestCertificate(for: "web.test"))
    let names: [(HTTPCheck, String)] = [
      (HTTPCheck(tls: TLSCheck(serverName: "sni.test")), "sni.test-"),
      (HTTPCheck(host: "host.test", tls: TLSCheck()), "host.test-"),
      (HTTPCheck(host: "host.test:8443", tls: TLSCheck()), "host.test-"),
      (HTTPCheck(host: "host.test", tls: TLSCheck(serverName: "sni.test")), "sni.test-"),
      (HTTPCheck(tls: TLSCheck()), "-"), (HTTPCheck(host: "127.0.0.1", tls: TLSCheck()), "-"),
      (HTTPCheck(host: "127.0.0.1:443", tls: TLSCheck()), "-"), (HTTPCheck(host: "[::1]:443", tls: TLSCheck()), "-"),
      (HTTPCheck(host: "[::1]", tls: TLSCheck()), "-"), (HTTPCheck(tls: TLSCheck(serverName: "::1")), "-"),
    ]
    for (check, name) in names {
      var check = check
      check.bodyContains = name
      let outcome = try await outcome(.http(check), at: try address(server))
      #expect(outcome.isPass, "\(check) \(outcome)")
      // Not only because the longer name contains the shorter one.
      if name == "-" {
        check.bodyContains = "t-"
        let wrong = try await self.outcome(.http(check), at: try address(server))
        #expect(wrong.failure?.kind == .badResponse, "\(check)")
      }
    }
  }

  @Test func serverThatSpeaksSomethingElse() async throws {
    let web = try await NginxServer("plain")
    guard let plain = Model.SocketAddress("\(web.endpoint)") else { throw TestFailure("no address") }
    for kind in [HealthCheck.Kind.tls(TLSCheck()), .http(HTTPCheck(tls: TLSCheck()))] {
      let failure = try await outcome(kind, at: plain).failure
      #expect(failure?.description == "protocol_error: the server does not speak TLS")
      let refused = try await outcome(kind, at: try RefusingPort().address).failure
      #expect(refused?.kind == .refused)
    }
    // A TLS server asked in the clear says so with a status.
    let server = try await TLSWebServer(try await TestCertificate(for: "web.test"))
    let failure = try await outcome(.http(HTTPCheck()), at: try address(server)).failure
    #expect(failure?.description == "bad_response: status 400")
  }
}

@Suite struct TLSRulesTests {
  /// A thousand probes that end before they have begun: one after the other, not one inside the other.
  @Test func authoritiesThatAreMissing() async throws {
    try await Checking.run { checking in
      let address = try RefusingPort().address
      let check = HTTPCheck(tls: TLSCheck(serverName: "x.test", verifies: true, authorities: "/nonexistent/authorities"))
      checking.replace((0..<1000).map { ProbeTarget(.http(check), at: address, member: .test($0), interval: .seconds(3600)) })
      for number in 0..<1000 {
        let outcomes = try await checking.outcomes(of: .test(number), atLeast: 1)
        #expect(outcomes[0].failure?.kind == .local)
      }
    }
  }
}
