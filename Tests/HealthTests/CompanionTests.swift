import Model
import NIOCore
import Synchronization
import Testing
import TestSupport

@testable import Health

/// A probe that is late gets a second one beside it.
@Suite struct CompanionTests {
  private static let http = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

  /// Answers each request but those that are to be met with silence.
  private final class Answering: Sendable {
    private let state = Mutex((requests: 0, silent: Range<Int>?.none))

    func beSilent(for requests: Range<Int>) { state.withLock { $0.silent = requests } }

    func answers() -> Bool {
      state.withLock { state in
        defer { state.requests += 1 }
        return state.silent?.contains(state.requests) != true
      }
    }
  }

  private func server(_ answering: Answering, answer: String = http) async throws -> ScriptedServer {
    try await ScriptedServer { connection, event in
      if case .received = event, answering.answers() { connection.send(answer) }
    }
  }

  /// An interval of an hour: what is seen is one probe, and what came of it. A timeout that is long beside the slowest first answer of a busy
  /// machine: whoever usually takes half of it is not late before it ends.
  private func target(
    _ kind: HealthCheck.Kind, at server: ScriptedServer, timeout: Duration = .seconds(1), threshold: Int = 2
  ) -> ProbeTarget {
    let check = HealthCheck(kind: kind, interval: .seconds(3600), timeout: timeout, unhealthyThreshold: threshold)
    return ProbeTarget(member: .test, address: server.address, check: check)
  }

  private func kinds(_ outcomes: [ProbeOutcome]) -> [ProbeFailure.Kind?] { outcomes.map(\.failure?.kind) }

  /// The kept session of Redis does not hide it, and is not asked twice: the second witness comes by a connection of its own.
  @Test(arguments: [
    (HealthCheck.Kind.http(HTTPCheck()), http), (.redis(RedisCheck()), "+PONG\r\n"),
    (.postgres(PostgresCheck(depth: .sslRequest)), "N"),
  ])
  func `a server that falls silent has two witnesses after one timeout`(kind: HealthCheck.Kind, answer: String) async throws {
    let answering = Answering()
    let server = try await server(answering, answer: answer)
    try await Checking.run { checking in
      checking.replace([target(kind, at: server)])
      try await checking.outcomes(atLeast: 1)
      answering.beSilent(for: 0..<1000)
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: 3)
      #expect(kinds(outcomes) == [nil, .timedOut, .timedOut])
      // The companion, which began later, has less time.
      let failures = outcomes.compactMap { $0.failure.map(String.init(describing:)) }
      for time in ["900ms", "1s"] { #expect(failures.count { $0.hasSuffix(time) } == 1, "\(failures)") }
      try await eventually("all connections are closed") { server.counts.open == 0 }
    }
    try await server.stop()
  }

  @Test func `a companion that passes is heard, too`() async throws {
    let answering = Answering()
    let server = try await server(answering)
    try await Checking.run { checking in
      checking.replace([target(.http(HTTPCheck()), at: server)])
      try await checking.outcomes(atLeast: 1)
      answering.beSilent(for: 1..<2)
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: 3)
      // Which of the two is told first is a matter of how busy this machine is.
      #expect(kinds(outcomes) == [nil, nil, .timedOut] || kinds(outcomes) == [nil, .timedOut, nil])
    }
    try await server.stop()
  }

  /// Not where one failure decides, nor for criteria.
  @Test(arguments: [
    (HealthCheck.Kind.http(HTTPCheck()), 1), (.criteria(.check(.http(HTTPCheck()), port: nil)), 2),
  ])
  func `some probes are late alone`(kind: HealthCheck.Kind, threshold: Int) async throws {
    let answering = Answering()
    let server = try await server(answering)
    try await Checking.run { checking in
      checking.replace([target(kind, at: server, threshold: threshold)])
      try await checking.outcomes(atLeast: 1)
      answering.beSilent(for: 0..<1000)
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: 2)
      #expect(kinds(outcomes) == [nil, .timedOut])
      #expect(server.counts.accepted == 2)
    }
    try await server.stop()
  }

  /// Slower than the least patience; a companion at every probe would be a connection each.
  @Test func `a server that is slow but well has no companions once it is known`() async throws {
    let server = try await ScriptedServer { connection, event in
      if case .received = event { connection.send(Self.http, after: .milliseconds(20)) }
    }
    try await Checking.run { checking in
      let check = HealthCheck(kind: .http(HTTPCheck()), interval: .milliseconds(25), timeout: .seconds(30))
      checking.replace([ProbeTarget(member: .test, address: server.address, check: check)])
      let outcomes = try await checking.outcomes(atLeast: 60)
      #expect(outcomes.allSatisfy { $0.isPass })
      #expect(server.counts.accepted < 20)
    }
    try await server.stop()
  }

  @Test func `nothing is left of a companion whose member is gone`() async throws {
    let answering = Answering()
    let server = try await server(answering)
    try await Checking.run { checking in
      checking.replace([target(.http(HTTPCheck()), at: server, timeout: .seconds(3600))])
      try await checking.outcomes(atLeast: 1)
      answering.beSilent(for: 0..<1000)
      checking.checker.probeNow(.test)
      try await eventually("both are in flight") { server.counts.open == 2 }
      checking.replace([])
      try await eventually("all connections are closed") { server.counts.open == 0 }
      #expect(checking.outcomes().count == 1)
    }
    try await server.stop()
  }

  /// The session's end is news, not yet a verdict; two refusals follow without the minimum gap between them.
  @Test func `a death that only ends an idle connection is confirmed at once`() async throws {
    let answering = Answering()
    let server = try await server(answering)
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck()), at: server.address, interval: .seconds(1))])
      try await checking.outcomes(atLeast: 1)
      checking.checker.probeNow(.test)
      try await checking.outcomes(atLeast: 2)
      try await server.die(reset: false)
      let refused = try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
      checking.checker.probeNow(.test)
      let outcomes = try await checking.outcomes(atLeast: refused.count + 1)
      #expect(kinds(outcomes).suffix(2) == [.refused, .refused])
    }
  }
}
