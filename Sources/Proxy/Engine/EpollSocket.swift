/// What the epoll engine knows of one socket: what its owner asked for, and what events have said since.
struct EpollSocket: QueuedSocket {
  /// `readable` and `writable` mean that trying is worth a system call. The others are lasting facts and news of them.
  struct Readiness: OptionSet, BitwiseCopyable {
    let rawValue: UInt8
    static let readable = Readiness(rawValue: 1)
    static let writable = Readiness(rawValue: 2)
    /// The peer sent its last byte; unread bytes may wait before the end.
    static let peerEnded = Readiness(rawValue: 4)
    /// The socket has an error pending or had one.
    static let broken = Readiness(rawValue: 8)
    static let endUnreported = Readiness(rawValue: 16)
    static let breakUnreported = Readiness(rawValue: 32)
  }

  var descriptor: Int32
  var generation: UInt32
  var sendBytes: UnsafeRawPointer?
  var sendCount: UInt32
  /// The pipe to send from. Means something only with `fromPipe`.
  var sendPipe: Buffer
  var connectError: Int32
  var next: UInt32
  var nextUrgent: UInt32
  var isOpen: Bool
  /// In the ready queue or among the starved.
  var isQueued: Bool
  var isUrgent: Bool
  var asked: SocketOperations
  var readiness: Readiness

  subscript(link: SocketQueueLink) -> UInt32 {
    get { link == .first ? next : nextUrgent }
    set { if link == .first { next = newValue } else { nextUrgent = newValue } }
  }

  /// Whether a turn would complete something, as far as is known.
  var turnIsDue: Bool {
    if asked.contains(.send) && readiness.contains(.writable) { return true }
    if !asked.isDisjoint(with: .reading) { return readiness.contains(.readable) }
    if asked.contains(.connect) { return connectError != 0 || readiness.contains(.writable) }
    return !readiness.isDisjoint(with: [.endUnreported, .breakUnreported])
  }
}
