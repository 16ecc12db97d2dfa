import CLinux
import Glibc
import Model
import Synchronization

/// Many senders, one receiver that sleeps until there is something or a deadline has come.
///
/// An eventfd rather than a condition variable: it waits with a deadline on the monotonic clock and needs no unsafe storage.
final class Mailbox<Message: Sendable>: Sendable {
  private let messages = Mutex<[Message]>([])
  private let wakeup: Int32

  init() throws(SystemError) {
    wakeup = leba_eventfd()
    if wakeup < 0 { throw SystemError(operation: "eventfd", code: -wakeup) }
  }

  deinit { close(wakeup) }

  func post(_ message: Message) {
    let wasEmpty = messages.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    if wasEmpty { leba_eventfd_signal(wakeup) }
  }

  var isEmpty: Bool { messages.withLock { $0.isEmpty } }

  /// Everything that arrived, in order; empty when the deadline came first.
  func receive(until deadline: Instant?) -> [Message] {
    let left = deadline.map { max(0, $0.nanoseconds - Instant.monotonicNow.nanoseconds) }
    _ = leba_poll(wakeup, Int16(POLLIN), left ?? -1)
    leba_eventfd_clear(wakeup)
    return messages.withLock { messages in
      defer { messages.removeAll(keepingCapacity: messages.capacity < 4096) }
      return messages
    }
  }
}

struct SystemError: Error, CustomStringConvertible {
  let operation: String
  let code: Int32
  var description: String { "\(operation): \(String(cString: strerror(code)))" }
}
