import Foundation
import Synchronization

/// Ports that nobody uses on any loopback address, for TCP and UDP, and that were not handed out before.
///
/// Between here and the server's bind somebody else may take one, so the range lies outside the kernel's ephemeral ports, where
/// only servers of other test runs could be met.
package enum FreePorts {
  private static let range: ClosedRange<UInt16> = 20_000...31_999
  private static let given = Mutex<Set<UInt16>>([])

  package static func next() throws -> UInt16 {
    for _ in 0..<2000 {
      let port = UInt16.random(in: range)
      guard given.withLock({ $0.insert(port).inserted }) else { continue }
      // 0.0.0.0 collides with whoever holds any 127.x address.
      if bindable(port, SOCK_STREAM, AF_INET), bindable(port, SOCK_DGRAM, AF_INET), bindable(port, SOCK_STREAM, AF_INET6) {
        return port
      }
    }
    throw TestFailure("no free port in \(range)")
  }

  private static func bindable(_ port: UInt16, _ type: __socket_type, _ family: Int32) -> Bool {
    let descriptor = socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    guard let address = RawAddress(family == AF_INET ? "0.0.0.0" : "::1", port: port) else { return false }
    return address.withSockaddr { bind(descriptor, $0, $1) } == 0
  }
}
