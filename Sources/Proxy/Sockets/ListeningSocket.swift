package import Model
import CLinux
import Glibc

/// One listening socket. Whoever has the value last closes the descriptor.
package struct ListeningSocket: Hashable, Sendable {
  package let descriptor: Int32
  /// Whether somebody outside goes on listening when we close: the service manager that gave it to us. Then it is not ours to silence, and
  /// the file of a unix socket not ours to remove.
  package let isHeldElsewhere: Bool

  package init(descriptor: Int32, isHeldElsewhere: Bool = false) {
    self.descriptor = descriptor
    self.isHeldElsewhere = isHeldElsewhere
  }

  /// Takes over a descriptor that came from another process; nil, and closed, when it is not a socket that listens for streams.
  package init?(inherited descriptor: Int32, isHeldElsewhere: Bool) {
    guard Self.option(SO_ACCEPTCONN, of: descriptor) == 1, Self.option(SO_TYPE, of: descriptor) == Int32(SOCK_STREAM.rawValue)
    else {
      Glibc.close(descriptor)
      return nil
    }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    self.init(descriptor: descriptor, isHeldElsewhere: isHeldElsewhere)
    guard let address = KernelAddress(localAddressOf: descriptor), !address.isUnix else { return }
    leba_tune_tcp(descriptor, 60, 15, 4)
    if address.isLoopback { leba_use_reno(descriptor) }
    if !isHeldElsewhere { leba_hear_new_handshakes(descriptor) }
  }

  /// Where it listens; nil for a unix socket without a path.
  package var address: SocketAddress? { KernelAddress(localAddressOf: descriptor)?.socketAddress }

  /// Nil when there is no descriptor to be had; `errno` says why.
  package func copy() -> ListeningSocket? {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    return copy < 0 ? nil : ListeningSocket(descriptor: copy, isHeldElsewhere: isHeldElsewhere)
  }

  package func close() { Glibc.close(descriptor) }

  /// The same for every copy of a socket, and for no other socket.
  var identity: UInt {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? status.st_ino : 0
  }

  private static func option(_ name: Int32, of descriptor: Int32) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : -1
  }
}

/// What somebody else listened with before us, all for one address.
package struct InheritedListener: Sendable {
  /// What it was called there.
  package let name: String
  package let address: SocketAddress
  package let sockets: [ListeningSocket]

  package init(name: String, address: SocketAddress, sockets: [ListeningSocket]) {
    self.name = name
    self.address = address
    self.sockets = sockets
  }

  package func close() { for socket in sockets { socket.close() } }
}
