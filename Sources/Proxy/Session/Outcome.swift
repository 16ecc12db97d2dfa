import Glibc
import Model

/// How a connection ended. Every accepted connection ends in exactly one of these; the raw value is the metric label.
package enum Outcome: String, CaseIterable, Hashable, Sendable, BitwiseCopyable {
  /// Both sides ended their streams.
  case completed
  /// The client left before it spoke, where it speaks first.
  case clientSilent = "client_silent"
  /// The client left while it was held.
  case clientLeft = "client_left"
  /// Nobody could serve it within `hold_timeout`.
  case holdTimeout = "hold_timeout"
  /// Too many connections were held already.
  case holdOverflow = "hold_overflow"
  /// Its backend was declared dead.
  case backendLost = "backend_lost"
  /// Its backend lost the role the listener promises.
  case demoted
  /// Its backend, or this process, was drained and it did not end by itself in time.
  case drained
  case resetByClient = "reset_by_client"
  case resetByBackend = "reset_by_backend"
  /// The kernel had no memory or watches left to serve it.
  case limit
  /// The process stopped.
  case stopped
  /// No byte came for the listener's `idle_timeout`.
  case idle
  /// It lasted for the listener's `maximum_duration`.
  case expired

  var ordinal: Int {
    switch self {
    case .completed: 0
    case .clientSilent: 1
    case .clientLeft: 2
    case .holdTimeout: 3
    case .holdOverflow: 4
    case .backendLost: 5
    case .demoted: 6
    case .drained: 7
    case .resetByClient: 8
    case .resetByBackend: 9
    case .limit: 10
    case .stopped: 11
    case .idle: 12
    case .expired: 13
    }
  }
}

/// Why a session had to turn to another backend, or wait, although it had been given one. The raw value is the metric label.
package enum RetryReason: String, CaseIterable, Hashable, Sendable, BitwiseCopyable {
  case connectRefused = "connect_refused"
  case connectTimedOut = "connect_timed_out"
  case connectUnreachable = "connect_unreachable"
  /// The backend reset the connection before a byte went either way.
  case reset
  /// The backend stopped serving while the connect was under way.
  case fenced
  /// This host could not try: no descriptors, no local ports.
  case local
  /// A second connect was begun because the first one took long.
  case hedge

  var ordinal: Int {
    switch self {
    case .connectRefused: 0
    case .connectTimedOut: 1
    case .connectUnreachable: 2
    case .reset: 3
    case .fenced: 4
    case .local: 5
    case .hedge: 6
    }
  }

  /// What the engine is told; nil where the backend is not to blame.
  var signal: DataPathSignal.Kind? {
    switch self {
    case .connectRefused: .connectRefused
    case .connectTimedOut: .connectTimedOut
    case .connectUnreachable: .connectUnreachable
    case .reset: .reset
    case .fenced, .local, .hedge: nil
    }
  }

  init(connectError error: Int32, to address: SocketAddress) {
    switch error {
    case ECONNREFUSED, ENOENT: self = .connectRefused
    // It was connected, and reset before we looked.
    case ECONNRESET: self = .reset
    // A unix listener whose backlog is full. Over IP it is this host's routes or ports that are short, and no backend is to blame.
    case EAGAIN: if case .unix = address { self = .connectTimedOut } else { self = .local }
    case ETIMEDOUT: self = .connectTimedOut
    // Interrupted, out of ports, descriptors or memory.
    case EINTR, EADDRNOTAVAIL, EADDRINUSE, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC: self = .local
    default: self = .connectUnreachable
    }
  }
}
