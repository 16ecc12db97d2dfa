import CLinux
import Glibc
import NIOPosix

/// Waits on a thread of its own until an epoll instance has news, and says so once each time it was asked to.
///
/// NIO's selector takes no descriptor that is not a channel's. Only the waiting is done here: whoever owns the epoll instance reads it.
final class EpollWatch: Sendable {
  private static let news: UInt64 = 0
  private static let stop: UInt64 = 1

  private let epoll: CInt
  private let outer: CInt
  private let stopping: CInt

  /// `onNews` is called on the watch's thread.
  init?(of epoll: CInt, onNews: @escaping @Sendable () -> Void) {
    self.epoll = epoll
    outer = leba_epoll_create()
    stopping = leba_eventfd()
    guard outer >= 0, stopping >= 0, leba_epoll_add(outer, stopping, LEBA_EPOLL_IN, Self.stop) == 0,
      leba_epoll_add(outer, epoll, LEBA_EPOLL_ONCE, Self.news) == 0
    else {
      for descriptor in [outer, stopping] where descriptor >= 0 { close(descriptor) }
      return nil
    }
    let (outer, stopping) = (outer, stopping)
    let thread = NIOThreadPool(numberOfThreads: 1)
    thread.start()
    thread.submit { _ in
      let event = UnsafeMutableRawPointer.allocate(byteCount: leba_epoll_event_size(), alignment: 16)
      defer { event.deallocate() }
      while true {
        let count = leba_epoll_wait(outer, event, 1, -1)
        if count == -EINTR { continue }
        guard count == 1, leba_epoll_data(event, 0) == Self.news else { break }
        onNews()
      }
      // Closed by the thread that waits on them, so that they cannot become somebody else's while it does.
      close(outer)
      close(stopping)
      thread.shutdownGracefully { _ in }
    }
  }

  /// Asks for one call.
  func ask() { _ = leba_epoll_change(outer, epoll, LEBA_EPOLL_IN | LEBA_EPOLL_ONCE, Self.news) }

  func end() { leba_eventfd_signal(stopping) }
}
