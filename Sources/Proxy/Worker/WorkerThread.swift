import CLinux
import Glibc
import Model
import Synchronization
import Threads

/// A running worker as the control path sees it: a mailbox and, in the end, its last counts.
final class WorkerThread: Sendable {
  let mailbox: Mailbox
  private let last = Mutex<WorkerStatistics?>(nil)
  private let thread = Mutex<pthread_t?>(nil)

  /// Returns once the worker runs, or throws what kept it from starting.
  init<E: Engine & ~Copyable>(
    engine: E.Type, number: Int, settings: WorkerSettings, onSignal: @escaping @Sendable (DataPathSignal) -> Void
  ) throws(EngineError) {
    let mailbox = try Mailbox()
    self.mailbox = mailbox
    let started = Reply<EngineError?>()
    let identifier = try ThreadBody.start { [weak self] in
      leba_name_thread("leba-worker-\(number)")
      let statistics: WorkerStatistics
      do {
        let now = Instant(nanoseconds: leba_monotonic_ns())
        var worker = try Worker<E>(settings: settings, mailbox: mailbox, now: now, onSignal: onSignal)
        started.fulfil(nil)
        statistics = worker.run()
      } catch {
        return started.fulfil(error as? EngineError ?? EngineError(operation: "starting a worker", errno: EINVAL))
      }
      self?.last.withLock { $0 = statistics }
    }
    if let error = started.wait() {
      pthread_join(identifier, nil)
      throw error
    }
    thread.withLock { $0 = identifier }
  }

  func statistics() -> WorkerStatistics {
    let reply = Reply<WorkerStatistics>()
    if mailbox.post(.reportStatistics(reply)) { return reply.wait() }
    join()
    return last.withLock { $0 } ?? WorkerStatistics()
  }

  func stop() {
    _ = mailbox.post(.stop)
    join()
  }

  private func join() {
    // Under the lock, so that whoever comes second waits for the end too.
    thread.withLock { thread in
      if let identifier = thread { pthread_join(identifier, nil) }
      thread = nil
    }
  }
}
