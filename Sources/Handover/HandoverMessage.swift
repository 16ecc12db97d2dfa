import Glibc

/// What two processes say to each other while one takes the listening sockets over from the other. One packet each, in this order:
///
/// ```
///  new process                         old process
///  hello                        ──►
///                               ◄──    listener, with its sockets, for each; then offered
///  prepared                     ──►    lets go of the journal
///                               ◄──    released
///  decides, waits for verdicts, accepts
///  unwanted, for each; ready    ──►    stops accepting
///                               ◄──    retired
/// ```
///
/// Until `ready` the old process is in charge: when the connection ends, it goes on as if nothing had been. From `released` on the new
/// one can do without the old one, and goes on if that dies.
package enum HandoverMessage: Codable, Equatable, Sendable {
  /// Of two that do not speak the same version, the old process refuses.
  package static let version = 1

  case hello(version: Int, process: Int32)
  /// Repeated for one address where it has more sockets than a message takes.
  case listener(address: String, isHeldElsewhere: Bool)
  case offered
  case prepared
  case released
  case unwanted(address: String)
  case ready
  case retired
  /// The old process stays in charge; says why.
  case cancelled(reason: String)
}

package enum HandoverError: Error, Equatable, CustomStringConvertible {
  /// The other process closed the connection, or died.
  case ended
  case timedOut
  case cancelled(String)
  case unexpected(String)
  case system(operation: String, errno: Int32)

  package var description: String {
    switch self {
    case .ended: "the other process ended the connection"
    case .timedOut: "the other process does not answer"
    case .cancelled(let reason): reason
    case .unexpected(let what): "the other process says what does not belong here: \(what.prefix(200))"
    case .system(let operation, let errno): "\(operation): \(String(cString: strerror(errno)))"
    }
  }
}
