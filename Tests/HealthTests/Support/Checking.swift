import Health
import Logging
import Model
import Synchronization
import TestSupport

/// A health checker with a memory for what it reported.
final class Checking: Sendable {
  let checker: HealthChecker
  private let reports: ReportBox

  private final class ReportBox: Sendable {
    let reports = Mutex<[ProbeReport]>([])
  }

  init(seed: UInt64 = 1) {
    let box = ReportBox()
    reports = box
    checker = HealthChecker(seed: seed, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })) { reports in
      box.reports.withLock { $0 += reports }
    }
  }

  /// Runs `body` with a checker, and stops it whatever happens.
  static func run<T>(
    seed: UInt64 = 1, isolation: isolated (any Actor)? = #isolation, _ body: (Checking) async throws -> T
  ) async throws -> T {
    let checking = Checking(seed: seed)
    do {
      let value = try await body(checking)
      await checking.checker.stop()
      return value
    } catch {
      await checking.checker.stop()
      throw error
    }
  }

  /// The members of the one group that most tests have.
  func replace(_ targets: [ProbeTarget]) { checker.replace(targets, of: "g") }

  func outcomes(of member: MemberKey = .test) -> [ProbeOutcome] {
    reports.reports.withLock { $0.filter { $0.member == member }.map(\.outcome) }
  }

  /// The first outcomes of a member, once there are so many.
  @discardableResult
  func outcomes(of member: MemberKey = .test, atLeast count: Int) async throws -> [ProbeOutcome] {
    try await eventually("\(count) reports of \(member)", every: .milliseconds(2)) {
      let outcomes = self.outcomes(of: member)
      return outcomes.count >= count ? outcomes : nil
    }
  }

  /// Everything reported so far, once the last report is as wanted.
  @discardableResult
  func outcomes(
    of member: MemberKey = .test, until what: String, _ isWanted: @Sendable (ProbeOutcome) -> Bool
  ) async throws -> [ProbeOutcome] {
    try await eventually("a report: \(what); seen: \(outcomes(of: member).suffix(5))", every: .milliseconds(2)) {
      let outcomes = self.outcomes(of: member)
      guard let index = outcomes.lastIndex(where: isWanted) else { return nil }
      return Array(outcomes[...index])
    }
  }
}

extension MemberKey {
  static let test = MemberKey(group: "g", backend: "b")
  static func test(_ number: Int, of group: GroupName = "g") -> MemberKey {
    MemberKey(group: group, backend: BackendID("b\(number)"))
  }
}

extension ProbeTarget {
  /// A timeout far above what a test may take: what passes does not depend on it. One failure is enough, so that probes of a busy
  /// machine have no companions.
  init(
    _ kind: HealthCheck.Kind, at address: SocketAddress, member: MemberKey = .test, interval: Duration = .milliseconds(30),
    timeout: Duration = .seconds(30), keepsSentinel: Bool = false
  ) {
    let check = HealthCheck(kind: kind, interval: interval, timeout: timeout, unhealthyThreshold: 1, keepsSentinel: keepsSentinel)
    self.init(member: member, address: address, check: check)
  }
}

extension ProbeOutcome {
  var isPass: Bool { if case .passed = self { true } else { false } }

  var role: Role? { if case .passed(_, let role, _) = self { role } else { nil } }

  var failure: ProbeFailure? { if case .failed(let failure) = self { failure } else { nil } }
}
