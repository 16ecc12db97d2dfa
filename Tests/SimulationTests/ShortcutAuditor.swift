import Failover
import Model

/// A pass without news takes a short way through the engine: it must come out where the long way does.
enum ShortcutAuditor {
  static func violations(_ event: Event, before: Engine, effects: [Effect], after: Engine, now: Instant) -> [String] {
    guard case .probeFinished(let report) = event, case .passed = report.outcome else { return [] }
    var long = before
    let expected = long.weigh(report, now: now)
    let group = report.member.group
    var wrong: [String] = []
    if expected != effects { wrong.append("the short way led to \(effects), the long way to \(expected)") }
    if long.nextDeadline != after.nextDeadline { wrong.append("the short way has another deadline") }
    if long[group]?.snapshot(at: now) != after[group]?.snapshot(at: now) { wrong.append("the short way shows another \(group)") }
    return wrong
  }

  /// The same for everything that the group is made of, which takes longer.
  static func deepViolations(_ event: Event, before: Engine, after: Engine, now: Instant) -> [String] {
    guard case .probeFinished(let report) = event, case .passed = report.outcome else { return [] }
    var long = before
    _ = long.weigh(report, now: now)
    let (expected, group) = ("\(long[report.member.group] as Any)", "\(after[report.member.group] as Any)")
    return expected == group ? [] : ["after the short way\n\(group)\nafter the long way\n\(expected)"]
  }
}
