import CLinux
import Foundation
import Handover
import Logging
import Model
import Proxy
import Synchronization

/// Where a new process knocks that wants to take over: `handover.sock` in the state directory, for our user only. Whoever has the
/// journal of the directory has the door.
final class HandoverDoor: Sendable {
  private struct State {
    var listener: Int32?
    var current: HandoverChannel?
    var isClosed = false
    var isHandedOver = false
  }

  private let path: String
  private let state = Mutex(State())
  /// Held while the door is served.
  private let serving = Mutex(())

  init(directory: String) { path = HandoverChannel.path(in: directory) }

  /// - Parameter handOver: hands over and answers whether it did; called on a thread of the door, for one process after the other.
  func open(_ handOver: @escaping @Sendable (HandoverChannel) -> Bool) throws(HandoverError) {
    let listener = try listen()
    let isOpen = state.withLock { state in
      if !state.isClosed { state.listener = listener }
      return !state.isClosed
    }
    guard isOpen else {
      Foundation.close(listener)
      return
    }
    let thread = Thread { [self] in serving.withLock { _ in serve(listener, handOver) } }
    thread.name = "leba-handover"
    thread.start()
  }

  /// No process can take over from now on, and one that was about to is told. Returns when that is certain.
  ///
  /// - Returns: whether one has.
  func close() -> Bool {
    let listener = state.withLock { state in
      state.isClosed = true
      state.current?.cancel("the process that was to hand over was asked to stop")
      return state.listener
    }
    if let listener { shutdown(listener, Int32(SHUT_RDWR)) }
    serving.withLock { _ in }
    return state.withLock { $0.isHandedOver }
  }

  /// The point of no return: the other process is in charge, or, when the door was closed meanwhile, was told that it is not.
  func commit() throws(HandoverError) {
    let isInTime = state.withLock { state in
      state.current = nil
      return !state.isClosed
    }
    if !isInTime { throw .cancelled("this process was asked to stop") }
  }

  /// Before the successor is told that it is in charge: it puts its own door at the same place.
  func remove() { unlink(path) }

  private func listen() throws(HandoverError) -> Int32 {
    guard let address = KernelAddress(.unix(path: path)) else { throw .system(operation: path, errno: ENAMETOOLONG) }
    // Left by a process that died.
    let type = try? FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
    if type == .typeSocket { unlink(path) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .system(operation: "socket", errno: errno) }
    // Nobody connects before `listen`, so the file is never open to others.
    guard address.withSockaddr({ bind(descriptor, $0, address.length) }) == 0, chmod(path, 0o600) == 0,
      Foundation.listen(descriptor, 4) == 0
    else {
      let code = errno
      Foundation.close(descriptor)
      throw .system(operation: path, errno: code)
    }
    return descriptor
  }

  private func serve(_ listener: Int32, _ handOver: (HandoverChannel) -> Bool) {
    var isHandedOver = false
    while !isHandedOver {
      let descriptor = leba_accept(listener)
      if descriptor == -EINTR || descriptor == -ECONNABORTED { continue }
      guard descriptor >= 0 else { break }
      let channel = HandoverChannel(adopting: descriptor)
      guard channel.isOfOurUser else { continue }
      let isWelcome = state.withLock { state in
        if !state.isClosed { state.current = channel }
        return !state.isClosed
      }
      guard isWelcome else { break }
      isHandedOver = handOver(channel)
      state.withLock { state in
        state.current = nil
        state.isHandedOver = isHandedOver
      }
    }
    if !isHandedOver { remove() }
    state.withLock { $0.listener = nil }
    Foundation.close(listener)
  }
}
