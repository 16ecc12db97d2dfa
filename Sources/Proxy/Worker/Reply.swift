import Glibc
import Synchronization

/// One value from a worker thread to a thread that waits for it. Only the control path ever waits.
final class Reply<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  nonisolated(unsafe) private let semaphore: UnsafeMutablePointer<sem_t>

  init() {
    semaphore = .allocate(capacity: 1)
    semaphore.initialize(to: sem_t())
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func fulfil(_ answer: Value) {
    value.withLock { $0 = answer }
    sem_post(semaphore)
  }

  /// At most once per reply.
  func wait() -> Value {
    while true {
      while sem_wait(semaphore) != 0 {}
      if let answer = value.withLock({ $0 }) { return answer }
    }
  }
}
