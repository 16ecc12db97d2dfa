import CAres
import Glibc
import Model

/// One question to one server: a c-ares channel of its own, which lives as long as the question.
///
/// A shared channel is where the trouble of c-ares 1.18 lives: it cannot cancel one query, keeps its UDP port as long as any
/// query is open (and connection tracking then keeps the path to a dead server), breaks two TCP queries in a row, lets one
/// FORMERR switch EDNS off for all, and always begins at the first server. A channel per question costs some forty
/// microseconds, takes a fresh port and id each time, and has none of these.
///
/// c-ares' own timer never decides anything: its timeout lies behind the deadline of the lookup, which ends the query by
/// dropping it. So there is no timer to serve, only sockets.
final class AresQuery {
  /// What c-ares reported.
  enum Completion {
    /// The raw response, whatever its code.
    case response([UInt8])
    case timedOut
    /// A response that c-ares could not read, and keeps to itself. 1.18 reads too little to do so.
    case unreadable
    /// No response could come: refused, no route, no socket, a name it will not ask for.
    case failed(status: Int32)
  }

  private let id: UInt32
  private let poller: Poller
  private let completed: (UInt32, Completion) -> Void
  private var channel: ares_channel?

  /// `ares_library_init` is not safe to call from two threads at once.
  private static let library = leba_ares_initialize()

  /// Beyond the deadline of any lookup, so that it decides nothing.
  private static let timeoutMilliseconds: Int32 = 600_000

  /// Opens the channel. `completed` is called once, from inside `ask`, `process` or `end`, and must only take a note.
  init(id: UInt32, server: SocketAddress, poller: Poller, completed: @escaping (UInt32, Completion) -> Void) {
    self.id = id
    self.poller = poller
    self.completed = completed
    guard Self.library == LEBA_ARES_SUCCESS else { return }
    let status = leba_ares_open(
      &channel, server.description, Self.timeoutMilliseconds, socketChanged, Unmanaged.passUnretained(self).toOpaque())
    if status != LEBA_ARES_SUCCESS { channel = nil }
  }

  deinit { end() }

  /// The name must be a host name; see `WireName.isHostName`.
  func ask(_ key: LookupKey) {
    guard let channel else {
      completed(id, .failed(status: LEBA_ARES_NO_MEMORY))
      return
    }
    leba_ares_query(channel, key.name.description, Int32(key.type.rawValue), queryEnded, Unmanaged.passUnretained(self).toOpaque())
  }

  func process(_ event: Poller.Event) {
    guard let channel else { return }
    let descriptor = event.token.descriptor
    ares_process_fd(channel, event.isReadable ? descriptor : -1, event.isWritable ? descriptor : -1)
  }

  /// Ends the question whether or not it was answered. Must not be called from within a callback of c-ares.
  func end() {
    guard let channel else { return }
    self.channel = nil
    ares_destroy(channel)
  }

  fileprivate func watch(_ descriptor: Int32, readable: Bool, writable: Bool) {
    poller.set(descriptor, Poller.Token(owner: id, descriptor: descriptor), readable: readable, writable: writable)
  }

  fileprivate func ended(_ status: Int32, _ response: UnsafeBufferPointer<UInt8>) {
    switch status {
    // Ended by us.
    case LEBA_ARES_DESTROYED, LEBA_ARES_CANCELLED: break
    case LEBA_ARES_TIMED_OUT: completed(id, .timedOut)
    case LEBA_ARES_BAD_RESPONSE where response.isEmpty: completed(id, .unreadable)
    // With a response its code is read by our own parser: c-ares mixes codes of the server with its own.
    default: completed(id, response.isEmpty ? .failed(status: status) : .response(Array(response)))
    }
  }
}

// The two callbacks of c-ares. They copy and take a note, and call nothing of c-ares: it may run them from inside
// `ares_query`, before the query is freed. `context` is unretained: both end with `ares_destroy`, which the object outlives.

private func socketChanged(_ context: UnsafeMutableRawPointer?, _ descriptor: ares_socket_t, _ readable: Int32, _ writable: Int32) {
  guard let context else { return }
  let query = Unmanaged<AresQuery>.fromOpaque(context).takeUnretainedValue()
  query.watch(descriptor, readable: readable != 0, writable: writable != 0)
}

private func queryEnded(
  _ context: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32, _ response: UnsafeMutablePointer<UInt8>?, _ length: Int32
) {
  guard let context else { return }
  let query = Unmanaged<AresQuery>.fromOpaque(context).takeUnretainedValue()
  query.ended(status, UnsafeBufferPointer(start: response, count: response == nil ? 0 : Int(max(length, 0))))
}
