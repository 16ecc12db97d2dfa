import Glibc
import Model

/// Which engine moves the bytes, and why that one.
package struct EngineInUse: Equatable, Sendable, CustomStringConvertible {
  package enum Kind: Equatable, Sendable { case epoll, ioUring }

  package let kind: Kind
  /// Why it is not the leaner one; nil when it was asked for, or is.
  package let reason: String?

  /// Asks the kernel whether io_uring may be used, unless epoll is wanted in any case.
  init(_ choice: EngineChoice) throws(ProxyError) {
    guard choice != .epoll else {
      self.init(kind: .epoll)
      return
    }
    do throws(EngineError) {
      try UringEngine.tryOut()
      self.init(kind: .ioUring)
    } catch {
      let reason = Self.explain(error)
      guard choice == .auto else { throw ProxyError.engineNotAvailable(choice, reason: reason) }
      self.init(kind: .epoll, reason: reason)
    }
  }

  init(kind: Kind, reason: String? = nil) {
    self.kind = kind
    self.reason = reason
  }

  package var name: String {
    switch kind {
    case .epoll: EpollEngine.name
    case .ioUring: UringEngine.name
    }
  }

  package var description: String { reason.map { "\(name) (no io_uring: \($0))" } ?? name }

  static func explain(_ error: EngineError) -> String {
    switch error.errno {
    case ENOSYS: "this kernel has none"
    case EPERM, EACCES: "it is forbidden here, by a seccomp profile or by kernel.io_uring_disabled"
    case EINVAL: "this kernel is older than Linux 6.1"
    case ENOMEM: "not enough memory may be locked (RLIMIT_MEMLOCK)"
    default: error.description
    }
  }
}
