import Health
import Model
import Testing
import TestSupport

@Suite struct CriteriaProbeTests {
  private let http = Criteria.check(.http(HTTPCheck()), port: nil)
  private let redis = HealthCheck.Kind.redis(RedisCheck())

  private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

  private func web(_ answer: String = ok) async throws -> ScriptedServer {
    try await ScriptedServer { connection, event in if case .received = event { connection.send(answer) } }
  }

  private func outcome(_ criteria: Criteria, at server: ScriptedServer, timeout: Duration = .seconds(30)) async throws
    -> ProbeOutcome
  {
    try await Checking.firstOutcomes([.criteria(criteria)], at: server.address, timeout: timeout)[0]
  }

  @Test func partsAreAskedAtTheirPorts() async throws {
    let (server, other, nobody) = (
      try await web(), try await web("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), try RefusingPort()
    )
    let busy = Criteria.check(.http(HTTPCheck()), port: other.address.port)
    let refused = Criteria.check(.tcp, port: nobody.address.port)
    #expect(try await outcome(.all([http, .check(.tcp, port: nil)]), at: server).isPass)
    #expect(try await outcome(.any([refused, busy, http]), at: server).isPass)
    #expect(try await outcome(.all([http, .not(refused)]), at: server).isPass)
    let failure = try await outcome(.all([http, .any([busy, refused])]), at: server).failure
    #expect(
      failure?.description
        == "bad_response: all: any: http / (port \(other.address.port ?? 0)): status 503; tcp (port \(nobody.address.port ?? 0)): connection refused"
    )
    for server in [server, other] {
      try await eventually("the connections are closed") { server.counts.open == 0 }
      try await server.stop()
    }
  }

  /// Whoever never answers is not waited for, and nothing of it is left.
  @Test func theEndIsEarly() async throws {
    let (server, silent) = (try await web(), try await ScriptedServer { _, _ in })
    let never = Criteria.check(.http(HTTPCheck()), port: silent.address.port)
    #expect(try await outcome(.any([never, http]), at: server).isPass)
    let failure = try await outcome(.all([never, .not(http)]), at: server).failure
    #expect(failure?.description == "bad_response: all: not: http / passes")
    for server in [server, silent] {
      try await eventually("the connections are closed") { server.counts.open == 0 }
      try await server.stop()
    }
  }

  @Test func oneTimeoutForAll() async throws {
    let (server, silent) = (try await web(), try await ScriptedServer { _, _ in })
    let never = Criteria.check(.http(HTTPCheck()), port: silent.address.port)
    let failure = try await outcome(.all([http, never]), at: server, timeout: .milliseconds(300)).failure
    #expect(failure?.kind == .timedOut)
    #expect(
      failure?.detail.hasPrefix("all: http / (port \(silent.address.port ?? 0)): no ") == true, "\(String(describing: failure))")
    try await eventually("the connections are closed") { server.counts.open == 0 && silent.counts.open == 0 }
    for server in [server, silent] { try await server.stop() }
  }

  @Test func silenceSatisfiesNot() async throws {
    let (server, silent) = (try await web(), try await ScriptedServer { _, _ in })
    let never = Criteria.check(.http(HTTPCheck()), port: silent.address.port)
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.criteria(.all([http, .not(never)])), at: server.address, timeout: .milliseconds(500))])
      try await checking.outcomes(until: "a pass") { $0.isPass }
    }
    for server in [server, silent] { try await server.stop() }
  }

  private func pinged() async throws -> ScriptedServer {
    try await ScriptedServer { connection, event in if case .received = event { connection.send("+PONG\r\n") } }
  }

  @Test func keptSessionsStayKept() async throws {
    let (server, other) = (try await pinged(), try await pinged())
    try await Checking.run { checking in
      // The second is mostly not needed for the answer; its session is kept all the same.
      let criteria = Criteria.any([.check(redis, port: nil), .check(redis, port: other.address.port)])
      checking.replace([ProbeTarget(.criteria(criteria), at: server.address)])
      let outcomes = try await checking.outcomes(atLeast: 6)
      #expect(outcomes.allSatisfy { $0.isPass })
      #expect(server.counts.accepted == 1)
      #expect(other.counts.accepted == 1)
    }
    try await eventually("the sessions are closed") { server.counts.open == 0 && other.counts.open == 0 }
    for server in [server, other] { try await server.stop() }
  }

  /// The end of a part's session is news at once where the whole depends on it, and a reason to ask again where it does not.
  @Test func theEndOfAPartsSession() async throws {
    let (server, other) = (try await pinged(), try await pinged())
    let (mine, its) = (Criteria.check(redis, port: nil), Criteria.check(redis, port: other.address.port))
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(.criteria(.all([mine, its])), at: server.address, member: .test(0), interval: .seconds(3600)),
        ProbeTarget(
          .criteria(.any([.check(.tcp, port: nil), .all([mine, its])])), at: server.address, member: .test(1),
          interval: .seconds(3600)),
      ])
      for number in 0..<2 { try await checking.outcomes(of: .test(number), atLeast: 1) }
      try await eventually("all four sessions are asked") {
        server.counts.received.count >= 28 && other.counts.received.count >= 28
      }
      try await other.die(reset: false)
      let all = try await checking.outcomes(of: .test(0), atLeast: 3)
      #expect(all[1].failure?.kind == .closed)
      #expect(all[2].failure?.kind == .refused)
      let any = try await checking.outcomes(of: .test(1), atLeast: 2)
      #expect(any.allSatisfy { $0.isPass })
    }
    try await server.stop()
  }

  @Test func criteriaThatCannotBeAsked() async throws {
    let directory = try TemporaryDirectory()
    let outcomes = try await Checking.firstOutcomes(
      [.criteria(.all([])), .criteria(.all([.check(.tcp, port: 80)]))], at: .unix(path: directory.file("nobody")))
    #expect(
      outcomes.map { $0.failure?.description } == [
        "bad_response: the criteria are empty or nested too deeply",
        "bad_response: all: tcp (port 80): a unix socket has no other port",
      ])
  }
}
