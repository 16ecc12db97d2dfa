import Foundation
import Synchronization

/// A backend made of plain sockets, one thread a connection, for what nginx and PostgreSQL do not do on demand.
package final class TCPServer: Sendable {
  package let endpoint: Endpoint
  private let listener: Int32
  private let accepted = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)

  /// - Parameter serve: runs on the connection's thread; the connection is closed when it returns or throws.
  package init(
    host: String = "127.0.0.1", port: UInt16? = nil, _ serve: @escaping @Sendable (TCPConnection) throws -> Void
  ) throws {
    endpoint = .ip(host, try port ?? FreePorts.next())
    guard let address = RawAddress(endpoint) else { throw TestFailure("bad address \(endpoint)") }
    listener = socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard address.withSockaddr({ bind(listener, $0, $1) }) == 0, listen(listener, 1024) == 0 else {
      let reason = errnoText()
      Foundation.close(listener)
      throw TestFailure("cannot listen on \(endpoint): \(reason)")
    }
    let descriptor = listener
    Thread { [weak self] in
      while true {
        let peer = accept(descriptor, nil, nil)
        guard peer >= 0 else {
          if errno == EINTR || errno == ECONNABORTED { continue }
          break
        }
        guard let self, !self.stopping.load(ordering: .relaxed) else {
          Foundation.close(peer)
          break
        }
        self.accepted.wrappingAdd(1, ordering: .relaxed)
        _ = fcntl(peer, F_SETFL, fcntl(peer, F_GETFL) | O_NONBLOCK)
        _ = fcntl(peer, F_SETFD, FD_CLOEXEC)
        let connection = TCPConnection(adopting: peer)
        Thread {
          try? serve(connection)
          connection.close()
        }.start()
      }
      Foundation.close(descriptor)
    }.start()
  }

  deinit { stop() }

  /// Takes no more connections; those that are there go on.
  package func stop() {
    if stopping.exchange(true, ordering: .relaxed) { return }
    // Wakes the accepting thread, which owns the descriptor and closes it.
    shutdown(listener, Int32(SHUT_RDWR))
  }

  package var connectionsAccepted: Int { accepted.load(ordering: .relaxed) }

  /// Sends everything back, and the end after it.
  package static func echo(host: String = "127.0.0.1", port: UInt16? = nil) throws -> TCPServer {
    try TCPServer(host: host, port: port) { connection in
      while true {
        let part = try connection.receive()
        if part.isEmpty { break }
        try connection.send(bytes: part)
      }
    }
  }
}
