import Synchronization

/// What is recorded, handed on to those who listen. It never waits for a listener: one that does not keep up is let go, and asks the
/// history when it comes back.
package final class EventFeed: Sendable {
  enum Item: Sendable {
    case record(EventRecord)
    case heartbeat
  }

  static let maximumSubscribers = 32
  /// Per listener: a failover of some hundred groups at once.
  static let backlog = 1024

  /// One listener, until it is let go, ends itself, or is forgotten.
  final class Subscription: Sendable {
    let items: AsyncStream<Item>
    fileprivate let continuation: AsyncStream<Item>.Continuation
    fileprivate let onOverflow: @Sendable () -> Void
    private let overflowed = Atomic(false)

    fileprivate init(onOverflow: @escaping @Sendable () -> Void, onEnd: @escaping @Sendable () -> Void) {
      (items, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(EventFeed.backlog))
      self.onOverflow = onOverflow
      continuation.onTermination = { _ in onEnd() }
    }

    deinit { continuation.finish() }

    var hasOverflowed: Bool { overflowed.load(ordering: .relaxed) }

    /// What is in the backlog is still delivered.
    func end() { continuation.finish() }

    /// Dropped when the backlog is full: the listener has other things to read then.
    func beat() { continuation.yield(.heartbeat) }

    fileprivate func deliver(_ record: EventRecord) {
      guard case .dropped = continuation.yield(.record(record)) else { return }
      if !overflowed.exchange(true, ordering: .relaxed) { onOverflow() }
      end()
    }
  }

  /// By number. Weak: whoever stops listening without a word has only to forget its subscription.
  private struct Listener: Sendable {
    weak var subscription: Subscription?
  }

  private struct Listeners: Sendable {
    var byNumber: [Int: Listener] = [:]
    var next = 0
  }

  private let listeners = Mutex(Listeners())

  package init() {}

  var subscriberCount: Int { listeners.withLock { $0.byNumber.count } }

  /// Called for one record after the other, in their order.
  package func publish(_ record: EventRecord) {
    // Outside of the lock: a listener that is let go takes itself off the list.
    for subscription in listeners.withLock({ $0.byNumber.values.compactMap(\.subscription) }) { subscription.deliver(record) }
  }

  /// - Parameter onOverflow: called once, if the listener does not keep up. Its items end then.
  /// - Returns: nil when there are as many listeners as there may be.
  func subscribe(onOverflow: @escaping @Sendable () -> Void = {}) -> Subscription? {
    let number: Int? = listeners.withLock { listeners in
      guard listeners.byNumber.count < Self.maximumSubscribers else { return nil }
      listeners.next += 1
      listeners.byNumber[listeners.next] = Listener(subscription: nil)
      return listeners.next
    }
    guard let number else { return nil }
    let subscription = Subscription(onOverflow: onOverflow) { [weak self] in
      self?.listeners.withLock { $0.byNumber[number] = nil }
    }
    listeners.withLock { $0.byNumber[number] = Listener(subscription: subscription) }
    return subscription
  }
}
