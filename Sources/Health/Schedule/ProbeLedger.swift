import Model
import Synchronization

/// The table of members and what is known of this host: written on the probes' event loop, read from anywhere.
final class ProbeLedger: Sendable {
  private let table = Mutex(MemberTable())
  private let lateness = Mutex(HostLateness())

  func withTable<Result: Sendable>(_ body: (inout MemberTable) -> Result) -> Result {
    table.withLock { body(&$0) }
  }

  func withLateness<Result: Sendable>(_ body: (inout HostLateness) -> Result) -> Result {
    lateness.withLock { body(&$0) }
  }

  /// Put together outside the lock, from a copy that costs nothing: the event loop is not held up.
  var statistics: [MemberKey: ProbeStatistics] { table.withLock { $0 }.statistics }
}
