import ControlAPI
import Failover
import Foundation
import Model
import Testing

/// What docs/API.md and docs/METRICS.md promise is there.
@Suite struct DocumentationTests {
  private static func text(_ name: String) throws -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try String(contentsOf: root.appending(path: "docs/\(name)"), encoding: .utf8)
  }

  @Test func `each documented call exists`() async throws {
    let calls = try Self.text("API.md").matches(of: /\n### (GET|POST|DELETE) (\/\S+)\n/).map { (String($0.1), String($0.2)) }
    #expect(calls.count > 30)
    try await withControlAPI { api, _, _ in
      for (method, path) in calls where !path.hasSuffix("/stream") {
        let target = path.replacing(/\{\w+\}/, with: "app-servers")
        let answer = try await api.call(method, target, method == "POST" ? "{}" : nil)
        #expect(answer.status != 405, "\(method) \(path)")
        #expect(!answer["detail"].contains("there is nothing at"), "\(method) \(path)")
      }
      // It has no end; its head is answer enough.
      #expect(try await api.call("HEAD", "/api/v1/events/stream").status == 200)
    }
  }

  @Test func `each metric, reason and kind of the failover is documented`() async throws {
    let text = try Self.text("METRICS.md")
    try await withControlAPI { api, plane, _ in
      let names = try await api.call("GET", "/metrics").text.matches(of: /TYPE\s(\S+)\s/).map { String($0.1) }
      #expect(names.contains("leba_group_failed_over"))
      for name in names + [PhaseMetrics().family.name] { #expect(text.contains("`\(name)`"), "\(name)") }
    }
    for reason in Reason.labelsOfChanges { #expect(text.contains("`\(reason)`"), "\(reason)") }
    for phase in PhaseMetrics.Phase.allCases { #expect(text.contains("`\(phase.rawValue)`"), "\(phase)") }
  }

  @Test func `phases are counted from the first change on, cumulatively`() {
    var phases = PhaseMetrics()
    #expect(phases.family.samples.isEmpty)
    func add(_ duration: Duration, to phase: PhaseMetrics.Phase) {
      var histogram = PhaseHistogram()
      histogram.record(duration)
      phases.add(histogram, to: phase, of: "pg")
    }
    add(.microseconds(50), to: .decide)
    add(.milliseconds(7), to: .decide)
    add(.seconds(100), to: .detect)
    var text = ""
    phases.family.write(to: &text)
    #expect(text.contains(#"leba_failover_phase_seconds_bucket{group="pg",phase="decide",le="0.0001"} 1"#))
    #expect(text.contains(#"leba_failover_phase_seconds_bucket{group="pg",phase="decide",le="0.01"} 2"#))
    #expect(text.contains(#"leba_failover_phase_seconds_bucket{group="pg",phase="detect",le="30.0"} 0"#))
    #expect(text.contains(#"leba_failover_phase_seconds_count{group="pg",phase="detect"} 1"#))
    #expect(text.contains(#"leba_failover_phase_seconds_count{group="pg",phase="last_stale_session"} 0"#))
  }

  @Test(
    arguments: [
      ("5s", 5000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("", nil), ("5", nil), ("5x", nil), ("1s1h", nil),
      ("1s1s", nil), ("-1s", nil), ("1.5s", nil), ("9999999999s", nil), ("٣s", nil),
      ("999999999d", 86_399_999_913_600_000),
    ] as [(String, Int64?)])
  func `durations are read as they are written`(text: String, milliseconds: Int64?) {
    #expect(Duration(text: text) == milliseconds.map { .milliseconds($0) })
  }

  @Test func `times are read with any offset, with and without fractions, and hostile ones are none`() {
    let now = WallTime(milliseconds: 1_000_000)
    #expect(WallTime("1970-01-01T00:00:01Z", now: now)?.milliseconds == 1000)
    #expect(WallTime("1970-01-01T02:00:01.250+02:00", now: now)?.milliseconds == 1250)
    #expect(WallTime("10s", now: now)?.milliseconds == 990_000)
    for text in ["", "now", "1970-13-01T00:00:00Z", "1970-01-01", "99999999999999999999-01-01T00:00:00Z"] {
      #expect(WallTime(text, now: now) == nil, "\(text)")
    }
    #expect(WallTime("999999999d", now: now) != nil)
  }
}
