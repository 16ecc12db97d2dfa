import Health
import Model
import Testing
import TestSupport

@Suite struct HTTPProbeTests {
  /// The first outcome of a probe of a server that answers every request with these bytes.
  private func outcome(
    _ check: HTTPCheck = HTTPCheck(), answer: @escaping ScriptedServer.Script
  ) async throws -> ProbeOutcome {
    let server = try await ScriptedServer(answer)
    let outcome = try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(check), at: server.address)])
      return try await checking.outcomes(atLeast: 1)[0]
    }
    try await server.stop()
    return outcome
  }

  private func outcome(_ check: HTTPCheck = HTTPCheck(), answer: String, thenClose: Bool = false) async throws -> ProbeOutcome {
    try await outcome(check) { connection, event in
      guard case .received = event else { return }
      connection.send(answer)
      if thenClose { connection.close() }
    }
  }

  @Test func request() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event { connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck(path: "/health?deep=1")), at: server.address, interval: .seconds(60))])
      try await checking.outcomes(atLeast: 1)
    }
    #expect(server.counts.text == "GET /health?deep=1 HTTP/1.1\r\nHost: \(server.address)\r\nConnection: close\r\n\r\n")
    try await server.stop()
  }

  @Test func hostHeader() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event { connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
    }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck(host: "app.example.com")), at: server.address)])
      try await checking.outcomes(atLeast: 1)
    }
    #expect(server.counts.text.contains("\r\nHost: app.example.com\r\n"))
    try await server.stop()
  }

  @Test func everyKindOfAddress() async throws {
    let directory = try TemporaryDirectory()
    for place in [.v6, .unix(directory.file("web"))] as [ScriptedServer.Place] {
      let server = try await ScriptedServer(on: place) { connection, event in
        if case .received = event { connection.send("HTTP/1.1 204 No Content\r\n\r\n") }
      }
      try await Checking.run { checking in
        checking.replace([ProbeTarget(.http(HTTPCheck()), at: server.address)])
        let outcomes = try await checking.outcomes(atLeast: 3)
        #expect(outcomes.allSatisfy { $0.isPass })
      }
      try await eventually("the connections are closed") { server.counts.open == 0 }
      try await server.stop()
    }
  }

  @Test func statuses() async throws {
    let redirect = try await outcome(answer: "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    #expect(redirect.isPass)
    let failure = try await outcome(answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").failure
    #expect(failure?.description == "bad_response: status 503")
    let odd = try await outcome(HTTPCheck(statuses: [418...418]), answer: "HTTP/1.1 418 I'm a teapot\r\n\r\n")
    #expect(odd.isPass)
    let early = try await outcome(answer: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    #expect(early.isPass)
  }

  @Test func bodies() async throws {
    let check = HTTPCheck(bodyContains: "all is well")
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n"
    #expect(try await outcome(check, answer: chunked).isPass)
    #expect(try await outcome(check, answer: "HTTP/1.0 200 OK\r\n\r\nyes, all is well", thenClose: true).isPass)
    let wrong = try await outcome(check, answer: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhelp").failure
    #expect(wrong?.kind == .badResponse)
    #expect(wrong?.detail.contains("all is well") == true)
  }

  /// A body without end is read up to a bound, and its beginning decides.
  @Test func hugeBody() async throws {
    let script: ScriptedServer.Script = { connection, event in
      guard case .received = event else { return }
      connection.send("HTTP/1.1 200 OK\r\n\r\n")
      connection.send("needle")
      for _ in 0..<200 { connection.send([UInt8](repeating: UInt8(ascii: "x"), count: 65536)) }
      connection.send("pin")
    }
    #expect(try await outcome(HTTPCheck(bodyContains: "needle"), answer: script).isPass)
    #expect(try await outcome(HTTPCheck(bodyContains: "pin"), answer: script).failure?.kind == .badResponse)
    #expect(try await outcome(HTTPCheck(), answer: script).isPass)
  }

  @Test func hugeHead() async throws {
    let field = "X: " + String(repeating: "y", count: 9000) + "\r\n"
    let failure = try await outcome(answer: "HTTP/1.1 200 OK\r\n" + field).failure
    #expect(failure?.description == "protocol_error: the response's head is too large")
    let fields = String(repeating: "X: y\r\n", count: 101)
    #expect(try await outcome(answer: "HTTP/1.1 200 OK\r\n" + fields + "\r\n").failure?.kind == .protocolError)
  }

  @Test func halfAResponse() async throws {
    #expect(try await outcome(answer: "HTTP/1.1 200 OK\r\nContent-Le", thenClose: true).failure?.kind == .closed)
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwell"
    #expect(try await outcome(HTTPCheck(bodyContains: "well"), answer: cut, thenClose: true).failure?.kind == .closed)
    #expect(try await outcome(answer: "", thenClose: true).failure?.kind == .closed)
  }

  @Test func reset() async throws {
    let failure = try await outcome { connection, event in if case .received = event { connection.reset() } }.failure
    #expect(failure?.kind == .reset)
  }

  @Test func notHTTP() async throws {
    #expect(try await outcome(answer: "220 mail.example.com ESMTP\r\n").failure?.kind == .protocolError)
  }

  @Test(arguments: [("", "response"), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "end of the response")])
  func silence(after answer: String, awaited: String) async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event, !answer.isEmpty { connection.send(answer) }
    }
    try await Checking.run { checking in
      let check = HealthCheck.Kind.http(HTTPCheck(bodyContains: "x"))
      checking.replace([ProbeTarget(check, at: server.address, timeout: .milliseconds(50))])
      // On a busy machine a probe may not get as far in its 50 ms.
      try await checking.outcomes(until: "\(awaited) awaited") {
        $0.failure?.description == "timed_out: no \(awaited) within 50ms"
      }
    }
    try await server.stop()
  }

  @Test func refused() async throws {
    let port = try RefusingPort()
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck()), at: port.address)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure?.kind == .refused)
    }
  }

  /// A path must not be able to smuggle a second request.
  @Test(arguments: ["", "x", "/a b", "/a\r\nX: y", "/é"]) func paths(path: String) async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck(path: path)), at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure?.kind == .local)
    }
    #expect(server.counts.received.isEmpty)
    try await server.stop()
  }

  @Test func hostsThatAreNone() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck(host: "a\r\nX: y")), at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes[0].failure?.kind == .local)
    }
    #expect(server.counts.received.isEmpty)
    try await server.stop()
  }
}
