import Foundation
import Model
import Testing

@testable import LebaConfiguration

/// Windows of the file and of the API.
@Suite struct MaintenanceTests {
  private static let base = "dns_backends: [{domain: d.example, port: 80}]\n" + twoBackends
  private static let later = "start: \"9000-01-01T00:00:00Z\", duration: 1h"

  private static func window(_ fields: String) -> String { base + "maintenance:\n  - {\(fields)}\n" }

  @Test func `a window with everything`() throws {
    let yaml = Self.window("id: w, backend: a, start: \"2099-12-01T02:00:00+01:30\", duration: 1h, repeat: weekly, pre_drain: 2m")
    #expect(
      try load(yaml).maintenance == [
        MaintenanceWindow(
          id: "w", backend: "a", start: WallTime(milliseconds: 4_099_768_200_000), duration: .hours(1), repetition: .weekly,
          preDrain: .minutes(2), isConfigured: true)
      ])
  }

  @Test(
    arguments: [
      ("a", "a", "a-90000101T000000Z"), ("10.0.0.2:80", "b", "b-90000101T000000Z"),
      ("D.example:[::1]:80", "d.example:[::1]:80", "d.example----1--80-90000101T000000Z"),
      ("10.9.9.9:80", "10.9.9.9:80", "10.9.9.9-80-90000101T000000Z"),
    ])
  func `a backend is named as people name it`(text: String, backend: BackendID, id: String) throws {
    let windows = try load(Self.window("backend: '\(text)', \(Self.later)")).maintenance
    #expect(windows.map(\.backend) == [backend])
    #expect(windows.map(\.id) == [id])
  }

  @Test(
    arguments: [
      Case(
        "unknown", window("backend: bb, \(later)"),
        "10:15: error: 'bb' is not declared anywhere; the nearest known name is 'b'; or declare it under backends, or write domain:address:port or address:port"
      ),
      Case(
        "a domain", window("backend: d.example, \(later)"),
        "10:15: error: 'd.example' is a domain, which may lead to many backends; write one of them, as domain:address:port"),
      Case(
        "nothing leads there", window("backend: '10.9.9.9:1', \(later)"),
        "10:15: warning: nothing leads to the backend '10.9.9.9:1' now; check its name; the window counts when it appears"),
      Case(
        "over", window("backend: a, start: \"2000-01-01T00:00:00Z\", duration: 1h"),
        "10:25: warning: the window 'a-20000101T000000Z' is over; remove it"),
      Case(
        "no zone", window("backend: a, start: \"9000-01-01T00:00:00\", duration: 1h"),
        "10:25: error: '9000-01-01T00:00:00' does not say of which time zone it is; append Z for UTC, or an offset such as +01:00"),
      Case(
        "no such day", window("backend: a, start: \"2100-02-29T00:00:00Z\", duration: 1h"),
        "10:25: error: '2100-02-29T00:00:00Z' is no time of the calendar; correct it"),
      Case(
        "no time", window("backend: a, start: tomorrow, duration: 1h"),
        "10:25: error: 'tomorrow' is not a time; write for example \"2026-12-01T02:00:00Z\""),
      Case(
        "meets itself", window("backend: a, start: \"9000-01-01T00:00:00Z\", duration: 23h, repeat: daily, pre_drain: 1h"),
        "10:72: error: a window of 1d, pre_drain included, would meet its own repetition (daily); make it shorter, or remove repeat"
      ),
      Case(
        "twice", window("backend: a, \(later)}\n  - {backend: a, \(later)"),
        "11:5: error: there is a window of this backend at this time already (10:5); remove one, or give it an id"),
      Case(
        "a taken id", window("id: x, backend: a, \(later)}\n  - {id: x, backend: b, \(later)"),
        "11:10: error: the window 'x' is already declared (10:10); choose another id"),
    ])
  func rules(_ example: Case) { #expect(diagnostics(example.yaml).filter { !$0.contains("listener") } == example.expected) }

  @Test func `a repeating window is never over`() {
    let yaml = Self.window("backend: a, start: \"2000-01-01T00:00:00Z\", duration: 1h, repeat: daily")
    #expect(!diagnostics(yaml).contains { $0.contains("is over") })
  }

  @Test func `days are counted as the calendar has them`() throws {
    for (text, seconds) in [
      ("1970-01-01T00:00:00Z", 0), ("2000-02-29T12:30:15.5z", 951_827_415), ("2038-01-19t03:14:08Z", 2_147_483_648),
    ] {
      let window = try #require(load(Self.window("backend: a, start: \"\(text)\", duration: 1h")).maintenance.first)
      #expect(window.start == WallTime(milliseconds: Int64(seconds) * 1000))
    }
    #expect(WallTime(milliseconds: 951_827_415_000).compactText == "20000229T123015Z")
    #expect(WallTime(milliseconds: .max).compactText.hasSuffix("Z") && WallTime(milliseconds: .min).compactText.hasSuffix("Z"))
  }

  @Test func `a request is held to the rules of the file`() throws {
    let topology = try load(Self.base).topology
    let now = WallTime(milliseconds: 0)
    let request = MaintenanceRequest(
      backend: "a", start: "2026-12-01T02:00:00Z", duration: "1h", repetition: "weekly", preDrain: "2m")
    let window = try topology.window(request, taken: [], now: now)
    #expect(
      window
        == MaintenanceWindow(
          id: "a-20261201T020000Z", backend: "a", start: WallTime(milliseconds: 1_796_090_400_000), duration: .hours(1),
          repetition: .weekly, preDrain: .minutes(2)))
    #expect(throws: MaintenanceRefusal.exists(window.id)) { try topology.window(request, taken: [window.id], now: now) }
    func refusal(_ change: (inout MaintenanceRequest) -> Void, now: WallTime = now) -> String? {
      var changed = request
      change(&changed)
      do throws(MaintenanceRefusal) {
        _ = try topology.window(changed, taken: [], members: ["made:1"], now: now)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(refusal { $0.backend = "made:1" } == nil)
    #expect(refusal { $0.backend = "x" }?.hasPrefix("'x' is not declared anywhere") == true)
    #expect(refusal { $0.duration = "1" }?.hasPrefix("'1' has no unit") == true)
    #expect(refusal { $0.id = "a/b" }?.hasPrefix("'a/b' is not a name") == true)
    #expect(refusal { $0.repetition = "hourly" }?.hasPrefix("'hourly' is not a repetition") == true)
    let over = WallTime(milliseconds: 1_796_094_000_000)
    #expect(refusal({ $0.repetition = nil }, now: over) == "the window would be over already; choose a later start")
    let json = #"{"backend":"a","duration":"1h","pre_drain":"2m","repeat":"weekly","start":"2026-12-01T02:00:00Z"}"#
    #expect(try JSONDecoder().decode(MaintenanceRequest.self, from: Data(json.utf8)) == request)
  }
}
