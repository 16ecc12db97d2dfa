import Model

/// Open sockets that nobody reads: no receive would tell of their end, so somebody must watch for it.
///
/// Not at once: a relay that waits for its own send, or for the other side's end, is read again or closed before that. Whoever is still
/// unread after a sweep and a half is to be watched.
struct UnreadSockets {
  /// How long a socket that nobody reads goes unwatched, at least; twice that at most.
  private static let delay = Duration.milliseconds(5)

  /// Sockets that nobody read when they came here; some are read again.
  private var queue = SocketQueue<UringSocket>(link: .second)
  /// Those in `queue` that were there at the last sweep.
  private var due = 0
  /// Open sockets that nobody reads and no poll watches yet.
  private var count = 0
  private var sweptAt = Instant.zero

  /// When to sweep next; nil when there is nothing to watch.
  var nextSweep: Instant? { count > 0 ? sweptAt + Self.delay : nil }

  mutating func insert(_ slot: UInt32, in sockets: UnsafeMutablePointer<UringSocket>) {
    let socket = sockets + Int(slot)
    if !socket.pointee.isUnread {
      socket.pointee.isUnread = true
      count += 1
    }
    guard !socket.pointee.isUnwatched else { return }
    socket.pointee.isUnwatched = true
    queue.append(slot, in: sockets)
  }

  /// It is read, watched or closed. Its place in the queue comes to nothing.
  mutating func remove(_ socket: UnsafeMutablePointer<UringSocket>) {
    guard socket.pointee.isUnread else { return }
    socket.pointee.isUnread = false
    count -= 1
  }

  /// Whether it is time to ask `popDue`, until that answers nil.
  mutating func beginsSweep(now: Instant) -> Bool {
    guard queue.count > 0, now - sweptAt >= Self.delay else { return false }
    sweptAt = now
    return true
  }

  /// A socket to watch, which no longer counts as unread.
  mutating func popDue(from sockets: UnsafeMutablePointer<UringSocket>) -> UInt32? {
    while due > 0, let slot = queue.pop(from: sockets) {
      due -= 1
      let socket = sockets + Int(slot)
      socket.pointee.isUnwatched = false
      guard socket.pointee.isUnread else { continue }
      remove(socket)
      return slot
    }
    due = queue.count
    return nil
  }
}
