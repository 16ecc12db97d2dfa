import Logging
import Model
import Synchronization
import Testing
import TestSupport

@testable import Health

@Suite struct HealthCheckerTests {
  private static let answer: ScriptedServer.Script = { connection, event in
    if case .received = event { connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
  }

  @Test func groupIsReplaced() async throws {
    let (a, b) = (try await ScriptedServer { _, _ in }, try await ScriptedServer { _, _ in })
    try await Checking.run { checking in
      let first = ProbeTarget(.tcp, at: a.address, member: .test(1))
      checking.replace([first])
      try await checking.outcomes(of: .test(1), atLeast: 2)
      checking.replace([ProbeTarget(.tcp, at: b.address, member: .test(2))])
      try await checking.outcomes(of: .test(2), atLeast: 2)
      // Nothing more of the one that is gone, though its interval passes many times.
      let count = checking.outcomes(of: .test(1)).count
      try await checking.outcomes(of: .test(2), atLeast: 10)
      #expect(checking.outcomes(of: .test(1)).count == count)
      #expect(Set(checking.checker.statistics().keys) == [.test(2)])
      checking.replace([])
      try await eventually("the statistics are empty") { checking.checker.statistics().isEmpty }
    }
    try await a.stop()
    try await b.stop()
  }

  /// An interval of an hour shows who is probed anew.
  @Test func unchangedMembersAreNotDisturbed() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      let old = ProbeTarget(.tcp, at: server.address, member: .test(1), interval: .seconds(3600))
      checking.replace([old])
      try await checking.outcomes(of: .test(1), atLeast: 1)
      var changed = ProbeTarget(.tcp, at: server.address, member: .test(2), interval: .seconds(3600))
      checking.replace([old, changed])
      try await checking.outcomes(of: .test(2), atLeast: 1)
      changed = ProbeTarget(.tcp, at: server.address, member: .test(2), interval: .seconds(3601))
      checking.replace([old, changed])
      try await checking.outcomes(of: .test(2), atLeast: 2)
      #expect(checking.outcomes(of: .test(1)).count == 1)
    }
    try await server.stop()
  }

  @Test func goneWhileItIsProbed() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck()), at: server.address)])
      try await eventually("a probe is in flight") { server.counts.open == 1 }
      checking.replace([])
      try await eventually("its connection is closed") { server.counts.open == 0 }
      #expect(checking.outcomes().isEmpty)
    }
    try await server.stop()
  }

  @Test func addressThatChanges() async throws {
    let refusing = try RefusingPort()
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.tcp, at: refusing.address)])
      try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
      checking.replace([ProbeTarget(.tcp, at: server.address)])
      try await checking.outcomes(until: "passed") { $0.isPass }
      let count = checking.outcomes().count
      let later = try await checking.outcomes(atLeast: count + 5)
      #expect(later.dropFirst(count).allSatisfy { $0.isPass })
    }
    try await server.stop()
  }

  @Test func earlyProbesAreCoalesced() async throws {
    let server = try await ScriptedServer { _, _ in }
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(.http(HTTPCheck()), at: server.address, interval: .seconds(3600)),
        ProbeTarget(.tcp, at: server.address, member: .test(2)),
      ])
      try await eventually("a probe is in flight") { !server.counts.received.isEmpty }
      for _ in 0..<1000 { checking.checker.probeNow(.test) }
      checking.checker.probeNow(.test(99))
      // While the other member goes on.
      try await checking.outcomes(of: .test(2), atLeast: 5)
      #expect(server.counts.text.ranges(of: "GET").count == 1)
      server.forEachConnection { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
      try await checking.outcomes(atLeast: 1)
      checking.checker.probeNow(.test)
      try await eventually("an early probe") { server.counts.text.ranges(of: "GET").count == 2 }
    }
    try await server.stop()
  }

  @Test func statistics() async throws {
    let server = try await ScriptedServer(Self.answer)
    try await Checking.run { checking in
      checking.replace([ProbeTarget(.http(HTTPCheck()), at: server.address)])
      try await checking.outcomes(atLeast: 3)
      try await server.die(reset: true)
      try await checking.outcomes(until: "refused") { $0.failure?.kind == .refused }
      let statistics = try #require(checking.checker.statistics()[.test])
      #expect(statistics.passed >= 3 && statistics.failed >= 1)
      #expect(statistics.latencies.count == statistics.passed)
      #expect(statistics.latencies.sum > .zero)
    }
  }

  @Test func histogram() {
    var counts = LatencyCounts()
    for latency in [.zero, .microseconds(500), .microseconds(501), .seconds(5), .seconds(6)] as [Duration] {
      counts.record(latency)
    }
    let histogram = LatencyHistogram(counts)
    #expect(histogram.counts.count == LatencyHistogram.bounds.count + 1)
    #expect(histogram.counts.first == 2 && histogram.counts[1] == 1)
    #expect(histogram.counts.suffix(2) == [1, 1])
    #expect(histogram.count == 5)
    #expect(histogram.sum == .seconds(11) + .microseconds(1001))
    #expect(LatencyHistogram.bounds == LatencyHistogram.bounds.sorted())
  }

  @Test func hundredsOfMembersAtOnce() async throws {
    let server = try await ScriptedServer { _, _ in }
    let members = (0..<700).map { MemberKey.test($0) }
    try await Checking.run { checking in
      checking.replace(members.map { ProbeTarget(.tcp, at: server.address, member: $0, interval: .seconds(3600)) })
      try await eventually("all have been probed") { checking.checker.statistics().count == members.count }
      #expect(members.allSatisfy { checking.outcomes(of: $0).count == 1 })
    }
    try await eventually("the connections are closed") { server.counts.open == 0 }
    try await server.stop()
  }

  @Test func `a group's members are nobody else's`() async throws {
    let (a, b) = (try await ScriptedServer(Self.answer), try await ScriptedServer { _, _ in })
    let kind = HealthCheck.Kind.http(HTTPCheck())
    let mine = ProbeTarget(kind, at: a.address, member: .test(1, of: "mine"), interval: .seconds(3600))
    // Its probe does not end: whoever disturbs it closes its connection.
    let other = ProbeTarget(kind, at: b.address, member: .test(1, of: "other"), interval: .seconds(3600))
    try await Checking.run { checking in
      checking.checker.replace([other], of: "other")
      try await eventually("a probe is in flight") { !b.counts.received.isEmpty }
      // The stranger is ignored, be it another group's member or nobody's.
      checking.checker.replace([mine, other, ProbeTarget(kind, at: a.address, member: .test(2, of: "third"))], of: "mine")
      try await checking.outcomes(of: .test(1, of: "mine"), atLeast: 1)
      checking.checker.replace([], of: "mine")
      try await eventually("the statistics are empty") { checking.checker.statistics().isEmpty }
      // Known no more, then known anew.
      checking.checker.probeNow(.test(1, of: "mine"))
      checking.checker.replace([mine], of: "mine")
      try await checking.outcomes(of: .test(1, of: "mine"), atLeast: 2)
      #expect(checking.outcomes(of: .test(2, of: "third")).isEmpty)
      #expect(b.counts.accepted == 1 && b.counts.open == 1)
    }
    try await a.stop()
    try await b.stop()
  }

  /// 600 members in 120 groups whose probes do not end by themselves: 512 at one time, and the others when there is room.
  @Test func probesInFlightAreBounded() async throws {
    let server = try await ScriptedServer { _, _ in }
    let members = (0..<600).map { MemberKey.test($0, of: GroupName("g\($0 / 5)")) }
    try await Checking.run { checking in
      for group in 0..<120 {
        checking.checker.replace(
          members[(5 * group)..<(5 * group + 5)].map {
            ProbeTarget(.http(HTTPCheck()), at: server.address, member: $0, interval: .seconds(3600), timeout: .seconds(3600))
          }, of: GroupName("g\(group)"))
      }
      try await eventually("all slots are taken") { server.counts.accepted >= 512 }
      #expect(server.counts.accepted == 512)
      try await eventually("all have been probed") {
        server.forEachConnection { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
        return checking.checker.statistics().count == members.count
      }
    }
    #expect(server.counts.accepted == 600)
    try await server.stop()
  }

  @Test func stopEndsEverything() async throws {
    let server = try await ScriptedServer { _, _ in }
    let checking = Checking()
    // An hour: however starved this test is, the probe that is not answered does not time out before the stop.
    checking.replace([
      ProbeTarget(.http(HTTPCheck()), at: server.address, timeout: .seconds(3600)),
      ProbeTarget(.tcp, at: server.address, member: .test(2), keepsSentinel: true),
    ])
    try await checking.outcomes(of: .test(2), atLeast: 1)
    // Before it is accepted there is nothing to see the end of.
    try await eventually("a probe is in flight, and a sentinel is kept") {
      server.counts.open == 2 && !server.counts.received.isEmpty
    }
    await checking.checker.stop()
    let count = checking.outcomes(of: .test(2)).count
    try await eventually("the connections are closed") { server.counts.open == 0 }
    // Calls that come too late are ignored.
    checking.replace([ProbeTarget(.tcp, at: server.address, member: .test(3))])
    checking.checker.probeNow(.test(2))
    await checking.checker.stop()
    #expect(checking.outcomes(of: .test(2)).count == count)
    #expect(checking.outcomes().isEmpty)
    try await server.stop()
  }

  @Test func logsChangesAndNotProbes() async throws {
    let port = try RefusingPort()
    let lines = LogLines()
    let counter = Counter()
    let checker = HealthChecker(seed: 1, logger: Logger(label: "test", factory: { _ in lines })) { for _ in $0 { counter.add() } }
    checker.replace([ProbeTarget(.tcp, at: port.address)], of: "g")
    try await eventually("reports") { counter.value >= 5 }
    try port.listen(backlog: 100)
    let seen = counter.value
    try await eventually("more reports") { counter.value >= seen + 5 }
    await checker.stop()
    #expect(lines.all == ["info probe fails", "debug probe passes"])
  }
}

private final class Counter: Sendable {
  private let count = Mutex(0)
  var value: Int { count.withLock { $0 } }
  func add() { count.withLock { $0 += 1 } }
}

private final class LogLines: LogHandler {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }

  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) {
    lines.withLock { $0.append("\(event.level) \(event.message)") }
  }
}
