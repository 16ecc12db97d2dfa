import CLinux
import Glibc

/// Sockets that are not connected: new ones, and those whose connect was undone, for the next who asks. Whoever takes one owns it.
struct UnconnectedSockets: ~Copyable {
  /// As many as a large plan has in flight where answers take ten milliseconds.
  private static let pooledPerFamily = 256

  private var v4: [CInt] = []
  private var v6: [CInt] = []

  deinit { for descriptor in v4 + v6 { Glibc.close(descriptor) } }

  /// A descriptor, or the negative errno that says why there is none.
  mutating func take(_ family: CInt) -> CInt {
    let reused = family == AF_INET ? v4.popLast() : family == AF_INET6 ? v6.popLast() : nil
    return reused ?? Self.make(family)
  }

  /// Undoes what was connected or tried.
  mutating func putBack(_ descriptor: CInt, _ family: CInt) {
    let count = family == AF_INET ? v4.count : v6.count
    guard family != AF_UNIX, count < Self.pooledPerFamily, leba_disconnect(descriptor) == 0 else {
      Glibc.close(descriptor)
      return
    }
    if family == AF_INET { v4.append(descriptor) } else { v6.append(descriptor) }
  }

  private static func make(_ family: CInt) -> CInt {
    let descriptor = leba_stream_socket(family)
    if descriptor >= 0, family != AF_UNIX {
      _ = leba_set_option(descriptor, Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, 1)
      // Nothing is ever sent: the cheapest way to control the congestion, which every kernel has. BBR is set up anew with each connect.
      leba_use_reno(descriptor)
    }
    return descriptor
  }
}
