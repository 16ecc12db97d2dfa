import Foundation
import Model
package import Proxy

/// Sockets that the service manager opened for us (sd_listen_fds(3)): descriptors from 3 on, told by `LISTEN_FDS`, `LISTEN_PID` and
/// `LISTEN_FDNAMES`.
package enum SocketActivation {
  private static let firstDescriptor: Int32 = 3
  private static let variables = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]

  /// Takes them and the variables away, so that nobody takes them twice. To be called once, before descriptors are opened.
  ///
  /// - Returns: what can be used, and complaints about the rest, which is closed.
  package static func take() -> (listeners: [InheritedListener], complaints: [String]) {
    let environment = ProcessInfo.processInfo.environment
    for variable in variables { unsetenv(variable) }
    return inherit(environment, process: getpid())
  }

  package static func inherit(
    _ environment: [String: String], process: Int32
  ) -> (listeners: [InheritedListener], complaints: [String]) {
    guard Int32(environment["LISTEN_PID"] ?? "") == process,
      let count = Int32(environment["LISTEN_FDS"] ?? ""), (1...1024).contains(count)
    else { return ([], []) }
    let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    var listeners: [InheritedListener] = []
    var complaints: [String] = []
    for position in 0..<Int(count) {
      let name = position < names.count ? names[position] : ""
      guard let socket = ListeningSocket(inherited: firstDescriptor + Int32(position), isHeldElsewhere: true) else {
        complaints.append(
          "the descriptor \(position + 3) ('\(name)') of the service manager is no listening stream socket; it is closed")
        continue
      }
      guard let address = socket.address else {
        socket.close()
        complaints.append("the socket '\(name)' of the service manager has no path; it is closed")
        continue
      }
      listeners.append(InheritedListener(name: name, address: address, sockets: [socket]))
    }
    return (listeners, complaints)
  }
}
