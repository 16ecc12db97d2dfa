package import Logging
package import Model
import NIOCore
import NIOPosix
import Synchronization

/// Asks every member it is told of, again and again, whether it works, and reports each answer.
///
/// All probes run on one event loop with a thread of its own, apart from the data path and the control loop. What a
/// report means is for the engine to decide.
package final class HealthChecker: Sendable {
  private let threads: MultiThreadedEventLoopGroup
  private let loop: any EventLoop
  /// One thread: what servers can make us compute never takes more than a core. Ended before the loop that waits for it.
  private let hashing = NIOThreadPool(numberOfThreads: 1)
  private let runner: NIOLoopBoundBox<ProbeRunner?>
  private let ledger = ProbeLedger()
  /// Held while work is handed to the loop: nothing may be handed to a loop that has shut down.
  private let isStopped = Mutex(false)

  /// `seed` decides how probes are spread in time, and nothing else. `onReports` is called on the event loop's thread and
  /// must not block it. What was found in one moment is told in one call, in order; nothing that could lead to a decision waits for what
  /// comes after it.
  package init(seed: UInt64, logger: Logger, onReports: @escaping @Sendable ([ProbeReport]) -> Void) {
    threads = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = threads.next()
    let runner = NIOLoopBoundBox<ProbeRunner?>.makeEmptyBox(valueType: ProbeRunner.self, eventLoop: loop)
    self.loop = loop
    self.runner = runner
    let (ledger, hashing) = (ledger, hashing)
    hashing.start()
    loop.execute {
      runner.value = ProbeRunner(
        loop: loop, hashing: hashing, seed: seed, logger: logger, ledger: ledger, onReports: onReports)
    }
  }

  /// The whole list of one group; empty removes it. New and changed members are probed at once, unchanged ones are not disturbed, and
  /// the sessions of those that are gone are closed. Of two targets for one member the last counts; those of other groups are
  /// ignored. Costs what the group has, not what there is.
  package func replace(_ targets: [ProbeTarget], of group: GroupName) {
    onLoop { $0.replace(targets, of: group) }
  }

  /// Probes a member earlier than planned, because the data path saw a failure or the engine wants to be sure.
  /// A probe in flight is answer enough; unknown members are ignored.
  package func probeNow(_ member: MemberKey) {
    onLoop { $0.probeNow(member) }
  }

  /// Of all members that have been probed.
  package func statistics() -> [MemberKey: ProbeStatistics] { ledger.statistics }

  /// How late this host's timers have been, and what was done about it.
  package var hostLateness: HostLateness { ledger.withLateness { $0 } }

  /// Ends all probes and sessions. Nothing is reported once this has returned. Safe to call twice.
  package func stop() async {
    let isFirst = isStopped.withLock { stopped in
      defer { stopped = true }
      return !stopped
    }
    guard isFirst else { return }
    let (loop, runner) = (loop, runner)
    try? await loop.submit {
      runner.value?.stop()
      runner.value = nil
    }.get()
    try? await hashing.shutdownGracefully()
    try? await threads.shutdownGracefully()
  }

  private func onLoop(_ body: @escaping @Sendable (ProbeRunner) -> Void) {
    let runner = runner
    isStopped.withLock { stopped in
      guard !stopped else { return }
      loop.execute { if let runner = runner.value { body(runner) } }
    }
  }
}
