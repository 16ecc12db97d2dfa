import Glibc
import Model
import Threads

/// resolv.conf and the hosts file, and word of their changes.
final class SystemFiles {
  struct Paths: Hashable, Sendable {
    var resolverConfiguration = "/etc/resolv.conf"
    var hosts = "/etc/hosts"
  }

  /// Neither file is ever this long; what is may be anything.
  private static let maximumSize = 1 << 20

  private let paths: Paths
  private let changes: FileWatch

  init(_ paths: Paths) {
    self.paths = paths
    changes = FileWatch([paths.resolverConfiguration, paths.hosts])
  }

  /// Nil when the host gives no inotify instance. The files are then read again after failed lookups only.
  var descriptor: Int32? { changes.descriptor }

  func takeEvents() { changes.takeEvents() }

  /// The name servers of resolv.conf, or why there is no such file.
  func resolverConfiguration() -> Result<ResolverConfiguration, DiscoveryError> {
    Self.read(paths.resolverConfiguration).map { ResolverConfiguration(parsing: $0) }
  }

  /// A missing hosts file is an empty one.
  func hosts() -> HostsFile {
    if case .success(let text) = Self.read(paths.hosts) { HostsFile(parsing: text) } else { .empty }
  }

  private static func read(_ path: String) -> Result<String, DiscoveryError> {
    // Not blocking: a path may name a pipe.
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return .failure(DiscoveryError("open \(path)", errno)) }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while bytes.count < maximumSize {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return .failure(DiscoveryError("read \(path)", errno)) }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return .success(String(decoding: bytes, as: UTF8.self))
  }
}
