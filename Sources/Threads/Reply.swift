import Glibc
import Synchronization

/// One value from a thread of ours to a thread that waits for it. Only the control path ever waits.
package final class Reply<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  nonisolated(unsafe) private let semaphore: UnsafeMutablePointer<sem_t>

  package init() {
    semaphore = .allocate(capacity: 1)
    semaphore.initialize(to: sem_t())
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  package func fulfil(_ answer: Value) {
    value.withLock { $0 = answer }
    sem_post(semaphore)
  }

  /// At most once per reply.
  package func wait() -> Value {
    while true {
      while sem_wait(semaphore) != 0 {}
      if let answer = value.withLock({ $0 }) { return answer }
    }
  }
}
