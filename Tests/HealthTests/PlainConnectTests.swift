import Health
import Logging
import Model
import Synchronization
import Testing
import TestSupport

/// TCP probes that keep nothing, which a large plan has thousands of a second.
@Suite struct PlainConnectTests {
  /// Each call of a checker, with what it told.
  private final class Calls: Sendable {
    private let calls = Mutex<[[ProbeReport]]>([])
    var all: [[ProbeReport]] { calls.withLock { $0 } }
    func add(_ reports: [ProbeReport]) { calls.withLock { $0.append(reports) } }
  }

  private func check(
    _ targets: [ProbeTarget], until isEnough: @escaping @Sendable ([[ProbeReport]]) -> Bool
  ) async throws -> [[ProbeReport]] {
    let calls = Calls()
    let checker = HealthChecker(seed: 1, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })) {
      calls.add($0)
    }
    checker.replace(targets, of: "g")
    do {
      try await eventually("enough reports") { isEnough(calls.all) }
    } catch {
      await checker.stop()
      throw error
    }
    await checker.stop()
    return calls.all
  }

  @Test func `passes that are no news are told together`() async throws {
    let server = try await ScriptedServer { _, _ in }
    let targets = (0..<200).map { ProbeTarget(.tcp, at: server.address, member: .test($0)) }
    let calls = try await check(targets) { $0.joined().count >= 4000 }
    // The first of each member is news, and told at once.
    #expect(calls.joined().count > 3 * calls.count)
    try await server.stop()
  }

  @Test func `a failure does not overtake what was found before it`() async throws {
    let server = try await ScriptedServer { _, _ in }
    let port = try RefusingPort()
    let targets = (0..<100).map {
      ProbeTarget(.tcp, at: $0 % 10 == 0 ? port.address : server.address, member: .test($0))
    }
    let calls = try await check(targets) { $0.joined().count >= 2000 }
    let reports = calls.flatMap { $0 }
    let found = reports.compactMap(\.found)
    #expect(found.count == reports.count && found == found.sorted())
    // And nothing that comes after it is waited for.
    for call in calls { #expect(call.dropLast().allSatisfy { $0.outcome.isPass }) }
    try await server.stop()
  }

  /// The kernel tries again after a second. The other member shows that the probe had begun before.
  @Test func `an answer that comes late is heard`() async throws {
    let port = try SilentPort()
    try await Checking.run { checking in
      checking.replace([
        ProbeTarget(.tcp, at: port.address, interval: .seconds(3600)),
        ProbeTarget(.tcp, at: port.address, member: .test(2), timeout: .milliseconds(50)),
      ])
      try await checking.outcomes(of: .test(2), atLeast: 1)
      try port.answer()
      let outcomes = try await checking.outcomes(atLeast: 1)
      #expect(outcomes.first?.isPass == true)
    }
  }
}
