/// What the io_uring engine knows of one socket: what its owner asked for, what the kernel is at, and what came that nobody asked for yet.
struct UringSocket: QueuedSocket {
  /// Facts about the peer that outlive the operation which found them.
  struct News: OptionSet, BitwiseCopyable {
    let rawValue: UInt8
    /// The end of the stream has been seen: watching for it once more would fire at once.
    static let endSeen = News(rawValue: 1)
    /// There is nothing left to watch for.
    static let allSeen = News(rawValue: 2)
    static let endUnreported = News(rawValue: 4)
    static let breakUnreported = News(rawValue: 8)

    static let unreported: News = [.endUnreported, .breakUnreported]
  }

  var descriptor: Int32
  var generation: UInt32
  var next: UInt32
  var nextUnwatched: UInt32
  /// The result of a receive that was withdrawn: a count of bytes in `parkedBuffer`, 0 for the end, a negative errno.
  var parkedResult: Int32
  var parkedBuffer: UInt16
  /// The last send took less than it was offered: there is no room until the kernel says so.
  var isFull: Bool
  var sendCount: UInt32
  /// The pipe to send from. Means something only while `fromPipe` is asked for.
  var sendPipe: Buffer
  var hasParked: Bool
  var isOpen: Bool
  /// In the ready queue or among the starved.
  var isQueued: Bool
  /// In the queue of those that nobody read.
  var isUnwatched: Bool
  /// Nobody reads it, and no poll watches it.
  var isUnread: Bool
  /// The last receive left bytes behind, or a peek saw some: the next one finds them at once.
  var hasBytesWaiting: Bool
  var asked: SocketOperations
  var inKernel: SocketOperations
  var news: News

  subscript(link: SocketQueueLink) -> UInt32 {
    get { link == .first ? next : nextUnwatched }
    set { if link == .first { next = newValue } else { nextUnwatched = newValue } }
  }

  var isBeingRead: Bool { !asked.isDisjoint(with: .reading) }
}
