import Foundation

/// A listener whose queue is full and who accepts nobody: what connects is met with silence, as by a host that drops packets.
package final class SwallowingPort: Sendable {
  package let endpoint: Endpoint
  private let listener: Int32
  private let onlyClient: TCPConnection

  package init(host: String, port: UInt16) throws {
    endpoint = .ip(host, port)
    guard let address = RawAddress(endpoint) else { throw TestFailure("bad address \(endpoint)") }
    let listener = socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    // With a backlog of 0 there is room for one.
    guard address.withSockaddr({ bind(listener, $0, $1) }) == 0, listen(listener, 0) == 0 else {
      let reason = errnoText()
      Foundation.close(listener)
      throw TestFailure("cannot listen on \(endpoint): \(reason)")
    }
    do { onlyClient = try TCPConnection(to: endpoint) } catch {
      Foundation.close(listener)
      throw error
    }
    self.listener = listener
  }

  deinit { Foundation.close(listener) }

  /// How many sockets of this host wait for an answer.
  package var connecting: Int {
    // Local address, remote address, state, with the port in hexadecimal digits; 2 is SYN_SENT.
    let remote = String(format: ":%04X", endpoint.port)
    return readFile("/proc/net/tcp").split(separator: "\n").count { line in
      let fields = line.split(separator: " ")
      return fields.count > 3 && fields[2].hasSuffix(remote) && fields[3] == "02"
    }
  }
}
