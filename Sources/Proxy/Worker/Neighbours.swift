import Model
import Synchronization

/// The workers of one proxy, for what one of them sees and the others should know before the control path does.
final class Neighbours: Sendable {
  private let mailboxes = Mutex<[Mailbox]>([])

  func moveIn(_ mailbox: Mailbox) { mailboxes.withLock { $0.append(mailbox) } }

  /// Seldom: each is woken by it.
  func tell(_ command: Command, from sender: Mailbox) {
    for mailbox in mailboxes.withLock({ $0 }) where mailbox !== sender { _ = mailbox.post(command) }
  }
}
