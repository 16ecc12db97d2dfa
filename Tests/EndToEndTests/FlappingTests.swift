import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// A primary that comes and goes in periods from 100 ms to 5 s, in a group that would go back to it each time: frozen, or with a port
  /// that refuses. Side by side: they mostly wait.
  @Suite(.serialized) struct FlappingTests {
    private static let periods: [Duration] = [
      .milliseconds(100), .milliseconds(300), .seconds(1), .milliseconds(2500), .seconds(5),
    ]
    private static let span = Duration.seconds(15)

    @Test func `changes keep the distances that docs/FAILOVER.md names, and no request fails at the standby`() async throws {
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        for flapping in Flapping.allCases {
          for period in Self.periods { tasks.addTask { try await Self.flap(flapping, period) } }
        }
        try await tasks.waitForAll()
      }
    }

    private static func flap(_ flapping: Flapping, _ period: Duration) async throws {
      let pair = try await WebPair(
        group: """
          minimum_interval: \(minimumInterval)ms
          failback: automatic
          failback_after: 0s
          hold_timeout: 1m
          maximum_failovers: {count: \(maximum), within: 1h}
          health_check: {path: /health, interval: 100ms, timeout: 100ms}
          """)
      let load = Load.timedRequests(to: pair.listener, clients: clients, pause: .milliseconds(10))
      try await load.more(20)
      let before = pair.two.requestCount
      let times = try await withFlapping(pair.one, flapping, period: period) { try await Task.sleep(for: span) }
      try await pair.leba.untilEligible(in: "web", ["one", "two"])
      try await load.more(20)
      let requests = try await load.stop()
      let changes = try await pair.leba.changes(of: "web")
      let context = "it \(flapping), period \(period): \(changes)"

      // The first is free, the second comes `minimum_interval` after it, and each further one waits twice as long.
      #expect(changes.count <= maximum, "\(context)")
      let instants = changes.compactMap { $0["at"].string.flatMap(milliseconds) }
      #expect(instants.count == changes.count, "\(context)")
      for (index, (earlier, later)) in zip(instants, instants.dropFirst()).enumerated() {
        // Each time is rounded down.
        #expect(later - earlier >= minimumInterval << index - 1, "\(context)")
      }
      // Frozen for longer than it takes to be sure, and awake for longer than it takes to recover. A refusal is known at once.
      if period >= .seconds(1) || flapping == .refuses { #expect(!changes.isEmpty, "\(context)") }
      #expect(requests.successions.count <= changes.count + 1, "\(context)")

      // What reached the standby was answered; what failed was at the primary when it was given up, and nobody waited in vain.
      let served = requests.count { $0.outcome.server == "two" }
      #expect(pair.two.requestCount - before == served, "\(context)")
      let ends = try await pair.leba.metrics()
      for outcome in ["hold_timeout", "hold_overflow", "limit"] {
        #expect(ends.value("leba_connections_total", ["outcome": outcome]) == 0, "\(context)")
      }
      let failed = requests.filter { $0.outcome.failure != nil }
      let reasons = Set(failed.compactMap(\.outcome.failure))
      #expect(reasons.isSubset(of: ["reset", "ended"]), "\(context) \(reasons)")
      // One for each client whenever the primary fails.
      #expect(failed.count <= clients * times.count, "\(context)")
      // A refused connection is made again, or waits: only who was there when the primary died has lost anything.
      if flapping == .refuses {
        let inTheMiddle = failed.filter { request in
          times.contains { request.began <= $0.upperBound && request.ended >= $0.lowerBound }
        }
        #expect(inTheMiddle.count == failed.count, "\(context) \(reasons)")
      }
      try await expectExplanation(of: changes.count, pair.leba)
    }

    /// Why the group is where it is, and what the changes have cost it.
    private static func expectExplanation(of changes: Int, _ leba: LebaProcess) async throws {
      let explanation = try await leba.get("/api/v1/groups/web/explain").json
      // On the standby, the way back may have to wait.
      let rules: Set = ["primary_serves", "change_is_due", "waiting_for_minimum_interval", "maximum_failovers_reached"]
      #expect(rules.contains(explanation["rule"].string ?? ""), "\(explanation)")
      func input(_ name: String) -> String? {
        explanation["inputs"].array.first { $0["name"].string == name }?["value"].string
      }
      #expect(input("maximum_failovers")?.hasPrefix("\(changes) of \(maximum) in 1h") == true, "\(explanation)")
      let factor = "500ms × \(1 << max(0, changes - 1)): the group flaps"
      #expect(input("minimum_interval")?.contains(factor) == (changes > 1), "\(explanation)")
    }

    private static let minimumInterval = 500
    private static let maximum = 4
    private static let clients = 2

    private static func milliseconds(_ text: String) -> Int? {
      let formatter = ISO8601DateFormatter()
      formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
      return formatter.date(from: text).map { Int(($0.timeIntervalSince1970 * 1000).rounded()) }
    }
  }
}
