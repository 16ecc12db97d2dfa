import CLinux
import Glibc

/// Pipes are filled and emptied by plain system calls at their socket's turn: a splice through the ring would go to a thread of the
/// kernel's and back. Where there is nothing to take, or no room, the ring polls.
extension UringEngine {
  mutating func fillPipe(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion? {
    guard let pipe = pipes.take() else { return receiveWithoutPipe(socket, token) }
    let count = pipes.fill(pipe, from: socket.pointee.descriptor)
    if count > 0 {
      socket.pointee.asked.subtract(.anyReading)
      unread.insert(token.slot, in: sockets)
      return .received(token, pipe, count: count)
    }
    pipes.give(pipe)
    switch -count {
    case Int(EAGAIN):
      poll(.intoPipe, .fillPipe, LEBA_EPOLL_IN | LEBA_EPOLL_RDHUP, socket, token)
      return nil
    // Not every kind of socket can.
    case Int(EINVAL): return receiveWithoutPipe(socket, token)
    default:
      socket.pointee.asked.subtract(.anyReading)
      unread.insert(token.slot, in: sockets)
      return finishReading(Int32(truncatingIfNeeded: count), socket, token)
    }
  }

  private func receiveWithoutPipe(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion? {
    socket.pointee.asked.remove(.intoPipe)
    submitReceive(socket, token)
    return nil
  }

  mutating func drainPipe(_ socket: UnsafeMutablePointer<UringSocket>, _ token: Token) -> Completion? {
    let (count, _) = pipes.drain(socket.pointee.sendPipe, to: socket.pointee.descriptor)
    if count == -Int(EAGAIN) {
      poll(.fromPipe, .drainPipe, LEBA_EPOLL_OUT, socket, token)
      return nil
    }
    socket.pointee.asked.subtract([.send, .fromPipe])
    if count >= 0 { return .sent(token, count: count) }
    socket.pointee.news.remove(.breakUnreported)
    return .sendFailed(token, errno: Int32(truncatingIfNeeded: -count))
  }

  /// There is something to fill a pipe with, or room to empty one into, or an end of either.
  mutating func polled(_ operation: SocketOperations, _ tag: UringTag) -> Completion? {
    guard let socket = owner(tag) else { return nil }
    socket.pointee.inKernel.remove(operation)
    guard socket.pointee.asked.contains(operation) else { return nil }
    let token = Token(slot: tag.slot, generation: socket.pointee.generation)
    return operation == .fromPipe ? drainPipe(socket, token) : fillPipe(socket, token)
  }
}
