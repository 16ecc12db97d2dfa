/// What a socket needs to stand in queues that have no memory of their own.
protocol QueuedSocket: BitwiseCopyable {
  subscript(link: SocketQueueLink) -> UInt32 { get set }
}

/// Which of a socket's two links a queue is threaded through.
enum SocketQueueLink { case first, second }

/// First in, first out, threaded through the sockets themselves: nothing to allocate and nothing to bound.
struct SocketQueue<Socket: QueuedSocket>: BitwiseCopyable {
  private let link: SocketQueueLink
  private var head: UInt32 = 0
  private var tail: UInt32 = 0
  private(set) var count = 0

  init(link: SocketQueueLink) { self.link = link }

  mutating func append(_ slot: UInt32, in sockets: UnsafeMutablePointer<Socket>) {
    if count == 0 { head = slot } else { sockets[Int(tail)][link] = slot }
    tail = slot
    count += 1
  }

  mutating func pop(from sockets: UnsafeMutablePointer<Socket>) -> UInt32? {
    guard count > 0 else { return nil }
    let slot = head
    head = sockets[Int(slot)][link]
    count -= 1
    return slot
  }
}
