import Glibc
package import Model
import Synchronization

/// A listening socket that no worker accepts from: that of the API. It is opened, inherited and handed over like the others.
package final class StandaloneListener: Sendable {
  package let address: SocketAddress
  private let state: Mutex<(socket: ListeningSocket, file: UnixSocketFile?)?>

  /// - Parameters:
  ///   - name: for the error.
  ///   - inherited: a socket that listens already, to be used instead; closed when it throws, and all but the first in any case.
  package init(_ name: ListenerName, _ address: SocketAddress, inherited: [ListeningSocket] = []) throws(ListenError) {
    let specification = ListenerSpecification(name: name, address: address, group: "", role: .any, clientSpeaksFirst: true)
    for socket in inherited.dropFirst() { socket.close() }
    let sockets =
      inherited.isEmpty
      ? try ListeningSockets.open(specification, workers: 1)
      : try ListeningSockets.adopt(Array(inherited.prefix(1)), for: specification, workers: 1)
    self.address = sockets.address
    state = Mutex(
      sockets.descriptors.first.map { (ListeningSocket(descriptor: $0, isHeldElsewhere: sockets.isHeldElsewhere), sockets.file) })
  }

  deinit { close() }

  /// For whoever accepts, or takes over; nil when it is closed or there is no descriptor to be had.
  package func copy() -> ListeningSocket? { state.withLock { $0?.socket.copy() } }

  /// - Parameter handedOver: whether another process has it: the file of a unix socket is left to it.
  package func close(handedOver: Bool = false) {
    state.withLock { state in
      state?.socket.close()
      if !handedOver { state?.file?.remove() }
      state = nil
    }
  }
}
