import CLinux
import Foundation
import Model
package import Proxy

/// A connection between two processes of leba on one host: whole messages, with sockets beside them. Closed with its last reference.
///
/// Blocks, with a limit on every wait: for threads of our own.
package final class HandoverChannel: Sendable {
  package static let socketsPerMessage = Int(LEBA_DESCRIPTORS_PER_MESSAGE)
  private static let messageLimit = 4096
  /// So long a message may wait for a reader.
  private static let sendLimit = Duration.seconds(5)

  private let descriptor: Int32

  /// Where a process listens whose state is in `directory`.
  package static func path(in directory: String) -> String { directory + "/handover.sock" }

  /// - Parameter descriptor: of a socket that does not block.
  package init(adopting descriptor: Int32) { self.descriptor = descriptor }

  /// Nil when nobody listens at the path.
  package static func connect(to path: String) throws(HandoverError) -> HandoverChannel? {
    guard let address = KernelAddress(.unix(path: path)) else { throw .system(operation: path, errno: ENAMETOOLONG) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { throw .system(operation: "socket", errno: errno) }
    let channel = HandoverChannel(adopting: descriptor)
    let result = address.withSockaddr { leba_connect(descriptor, $0, address.length) }
    if result == -ENOENT || result == -ECONNREFUSED { return nil }
    guard result == 0 else { throw .system(operation: "connecting to \(path)", errno: -result) }
    guard channel.isOfOurUser else { throw .unexpected("\(path) belongs to another user") }
    return channel
  }

  deinit { close(descriptor) }

  /// Sockets that come from somebody else could lead our clients anywhere.
  package var isOfOurUser: Bool { [0, Int64(geteuid())].contains(leba_peer_user(descriptor)) }

  /// Copies the sockets; the caller's stay open.
  package func send(_ message: HandoverMessage, _ sockets: some Collection<ListeningSocket> = []) throws(HandoverError) {
    guard let bytes = try? JSONEncoder().encode(message) else { throw .unexpected("\(message)") }
    let descriptors = sockets.map(\.descriptor)
    try wait(for: POLLOUT, Self.sendLimit)
    let status = bytes.withUnsafeBytes {
      leba_send_message(descriptor, $0.baseAddress, $0.count, descriptors, Int32(descriptors.count))
    }
    guard status != 0 else { return }
    throw Self.error("sending", -status)
  }

  /// The caller owns the descriptors.
  package func receive(within patience: Duration) throws(HandoverError) -> (message: HandoverMessage, descriptors: [Int32]) {
    try wait(for: POLLIN, patience)
    var bytes = [UInt8](repeating: 0, count: Self.messageLimit)
    var descriptors = [Int32](repeating: -1, count: Int(LEBA_DESCRIPTORS_PER_MESSAGE))
    var count: Int32 = 0
    let received = leba_receive_message(descriptor, &bytes, bytes.count, &descriptors, &count)
    let owned = Array(descriptors.prefix(Int(count)))
    guard received > 0, let message = try? JSONDecoder().decode(HandoverMessage.self, from: Data(bytes.prefix(received))) else {
      for descriptor in owned { close(descriptor) }
      throw received == 0 ? .ended : received < 0 ? Self.error("receiving", Int32(-received)) : .unexpected("no message of ours")
    }
    if case .cancelled(let reason) = message { throw .cancelled(reason) }
    return (message, owned)
  }

  /// For answers that have no sockets beside them.
  package func expect(_ wanted: HandoverMessage, within patience: Duration) throws(HandoverError) {
    let (message, descriptors) = try receive(within: patience)
    for descriptor in descriptors { close(descriptor) }
    guard message == wanted else { throw .unexpected("\(message)") }
  }

  /// Any thread may call this: who waits in `receive` finds the connection ended.
  package func cancel(_ reason: String) {
    try? send(.cancelled(reason: reason))
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  private func wait(for event: Int32, _ patience: Duration) throws(HandoverError) {
    let end = leba_monotonic_ns() &+ patience.nanoseconds
    while true {
      let ready = leba_poll(descriptor, Int16(event), max(0, end - leba_monotonic_ns()))
      if ready > 0 { return }
      if ready == 0 { throw .timedOut }
      if ready != -EINTR { throw .system(operation: "poll", errno: -ready) }
    }
  }

  private static func error(_ operation: String, _ errno: Int32) -> HandoverError {
    switch errno {
    case EAGAIN: .timedOut
    case EPIPE, ECONNRESET: .ended
    default: .system(operation: operation, errno: errno)
    }
  }
}
