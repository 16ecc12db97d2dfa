import CAres
import Glibc
import Model

/// A c-ares channel for one server, with one question at a time.
///
/// A shared channel is where the trouble of c-ares 1.18 lives: it cannot cancel one query, keeps its UDP port as long as any
/// query is open (and connection tracking then keeps the path to a dead server), breaks two TCP queries in a row, lets one
/// FORMERR switch EDNS off for all, and always begins at the first server. With a channel to itself each question has a fresh port
/// and id and none of these. Opening one costs some hundred microseconds, so one that has just answered well is used again.
///
/// c-ares' own timer never decides anything: its timeout lies behind the deadline of the lookup, which ends the question by
/// closing the channel. So there is no timer to serve, only sockets.
final class AresChannel {
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

  let server: SocketAddress
  private let poller: Poller
  private let completed: (UInt32, Completion) -> Void
  private var channel: ares_channel?
  private var question: UInt32 = 0
  private var sockets: [Int32] = []
  private var openedSockets = 0

  /// Whether the question that ended last leaves the channel as good as a new one.
  private(set) var isReusable = false

  /// `ares_library_init` is not safe to call from two threads at once.
  private static let library = leba_ares_initialize()

  /// Beyond the deadline of any lookup, so that it decides nothing.
  private static let timeoutMilliseconds: Int32 = 600_000

  /// - Parameter completed: called once for each question, from inside `ask`, `process` or `close`, and must only take a note.
  init(server: SocketAddress, poller: Poller, completed: @escaping (UInt32, Completion) -> Void) {
    self.server = server
    self.poller = poller
    self.completed = completed
    guard Self.library == LEBA_ARES_SUCCESS else { return }
    let status = leba_ares_open(
      &channel, server.description, Self.timeoutMilliseconds, socketChanged, Unmanaged.passUnretained(self).toOpaque())
    if status != LEBA_ARES_SUCCESS { channel = nil }
  }

  deinit { close() }

  /// Asks, once the question before has ended. The name must be a host name; see `WireName.isHostName`.
  func ask(_ key: LookupKey, as question: UInt32) {
    self.question = question
    isReusable = false
    openedSockets = 0
    guard let channel else {
      completed(question, .failed(status: LEBA_ARES_NO_MEMORY))
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
  func close() {
    guard let channel else { return }
    self.channel = nil
    isReusable = false
    ares_destroy(channel)
  }

  fileprivate func watch(_ descriptor: Int32, readable: Bool, writable: Bool) {
    guard readable || writable else {
      // c-ares closes it next, which is all that epoll needs.
      sockets.removeAll { $0 == descriptor }
      return
    }
    let token = Poller.Token(owner: question, descriptor: descriptor)
    if sockets.contains(descriptor) {
      poller.change(descriptor, token, readable: readable, writable: writable)
    } else {
      sockets.append(descriptor)
      openedSockets += 1
      poller.add(descriptor, token, readable: readable, writable: writable)
    }
  }

  fileprivate func ended(_ status: Int32, _ response: UnsafeBufferPointer<UInt8>) {
    switch status {
    // Ended by us.
    case LEBA_ARES_DESTROYED, LEBA_ARES_CANCELLED: break
    case LEBA_ARES_TIMED_OUT: completed(question, .timedOut)
    case LEBA_ARES_BAD_RESPONSE where response.isEmpty: completed(question, .unreadable)
    // With a response its code is read by our own parser: c-ares mixes codes of the server with its own.
    default:
      isReusable = isWellAnswered(response)
      completed(question, response.isEmpty ? .failed(status: status) : .response(Array(response)))
    }
  }

  /// A second socket was TCP. A response without an additional section may be one for which c-ares had to give EDNS up, which it
  /// then does for good.
  private func isWellAnswered(_ response: UnsafeBufferPointer<UInt8>) -> Bool {
    let headerLength = 12
    return openedSockets == 1 && response.count >= headerLength && (response[10] != 0 || response[11] != 0)
  }
}

/// Channels that wait for their next question, a few for each server.
struct IdleChannels {
  /// Enough for some hundred questions a second. A channel of c-ares 1.18 takes a hundred kilobytes.
  private static let perServer = 4

  private var channels: [SocketAddress: [AresChannel]] = [:]

  mutating func take(_ server: SocketAddress) -> AresChannel? { channels[server]?.popLast() }

  /// Keeps a channel whose question has ended if it can be used again, else closes it.
  mutating func giveBack(_ channel: AresChannel) {
    guard channel.isReusable, channels[channel.server, default: []].count < Self.perServer else { return channel.close() }
    channels[channel.server, default: []].append(channel)
  }

  /// Closes those of servers that are not asked any more.
  mutating func keep(_ servers: [SocketAddress]) {
    for (server, idle) in channels where !servers.contains(server) {
      for channel in idle { channel.close() }
      channels[server] = nil
    }
  }
}

// The two callbacks of c-ares. They copy and take a note, and call nothing of c-ares: it may run them from inside
// `ares_query`, before the query is freed. `context` is unretained: both end with `ares_destroy`, which the object outlives.

private func socketChanged(_ context: UnsafeMutableRawPointer?, _ descriptor: ares_socket_t, _ readable: Int32, _ writable: Int32) {
  guard let context else { return }
  let channel = Unmanaged<AresChannel>.fromOpaque(context).takeUnretainedValue()
  channel.watch(descriptor, readable: readable != 0, writable: writable != 0)
}

private func queryEnded(
  _ context: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32, _ response: UnsafeMutablePointer<UInt8>?, _ length: Int32
) {
  guard let context else { return }
  let channel = Unmanaged<AresChannel>.fromOpaque(context).takeUnretainedValue()
  channel.ended(status, UnsafeBufferPointer(start: response, count: response == nil ? 0 : Int(max(length, 0))))
}
