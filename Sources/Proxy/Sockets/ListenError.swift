import Glibc
package import Model

/// Why a listener could not be opened, in words an operator can act on.
package struct ListenError: Error, Equatable, CustomStringConvertible {
  package enum Reason: Equatable, Sendable {
    case addressInUse
    case permissionDenied
    /// The address is none of this host's.
    case addressNotAvailable
    /// The unix path is too long, or its directory does not exist.
    case badPath
    /// Something that is not a stale socket is at the unix path.
    case pathOccupied
    /// A listener of this name is open.
    case nameInUse
    case stopped
    case other(errno: Int32)
  }

  package let listener: ListenerName
  package let address: SocketAddress
  package let reason: Reason

  package var description: String { "listener \(listener): cannot listen on \(address): \(explanation)" }

  package var explanation: String {
    switch reason {
    case .addressInUse: "the address is in use; stop what listens there, or choose another address"
    case .permissionDenied:
      if address.port.map({ $0 < 1024 }) ?? false {
        "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE"
      } else {
        "permission denied"
      }
    case .addressNotAvailable: "this host has no such address"
    case .badPath: "the path is longer than 107 bytes, or its directory does not exist"
    case .pathOccupied: "there is a file at the path that is not a socket; remove it, or choose another path"
    case .nameInUse: "a listener of this name is open already"
    case .stopped: "the proxy has stopped"
    case .other(let errno): errorText(errno)
    }
  }

  init(_ specification: ListenerSpecification, _ reason: Reason) {
    listener = specification.name
    address = specification.address
    self.reason = reason
  }

  init(_ specification: ListenerSpecification, _ error: EngineError) {
    if error.errno == ECANCELED { self.init(specification, .stopped) } else { self.init(specification, errno: error.errno) }
  }

  init(_ specification: ListenerSpecification, errno: Int32) {
    let reason: Reason =
      switch errno {
      case EADDRINUSE: .addressInUse
      case EACCES, EPERM, EROFS: .permissionDenied
      case EADDRNOTAVAIL: .addressNotAvailable
      case ENOENT, ENOTDIR, ENAMETOOLONG: .badPath
      default: .other(errno: errno)
      }
    self.init(specification, reason)
  }
}
