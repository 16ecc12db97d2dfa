import Glibc
import Model

/// resolv.conf and the hosts file, and word of their changes.
///
/// Both are replaced by rename more often than they are written, so it is their directories that are watched: also the
/// one a symbolic link leads to (systemd-resolved), and the file itself, which a container may have mounted by itself.
final class SystemFiles {
  struct Paths: Hashable, Sendable {
    var resolverConfiguration = "/etc/resolv.conf"
    var hosts = "/etc/hosts"
  }

  /// Neither file is ever this long; what is may be anything.
  private static let maximumSize = 1 << 20
  private static let mask = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE)

  private let paths: Paths
  /// Nil when the host gives no inotify instance. The files are then read again after failed lookups only.
  let descriptor: Int32?

  init(_ paths: Paths) {
    self.paths = paths
    let inotify = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    descriptor = inotify >= 0 ? inotify : nil
    watch()
  }

  deinit {
    if let descriptor { close(descriptor) }
  }

  /// The name servers of resolv.conf, or why there is no such file.
  func resolverConfiguration() -> Result<ResolverConfiguration, DiscoveryError> {
    Self.read(paths.resolverConfiguration).map { ResolverConfiguration(parsing: $0) }
  }

  /// A missing hosts file is an empty one.
  func hosts() -> HostsFile {
    if case .success(let text) = Self.read(paths.hosts) { HostsFile(parsing: text) } else { .empty }
  }

  /// Takes the pending events. Which file of which directory they name is not looked at: a link's target may just have
  /// changed, and reading two small files again is cheap.
  func takeEvents() {
    guard let descriptor else { return }
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: MemoryLayout<inotify_event>.alignment) { buffer in
      while Glibc.read(descriptor, buffer.baseAddress, buffer.count) > 0 {}
    }
    // A link may lead elsewhere now, and a new file needs a new watch. Existing watches are found again by the kernel.
    watch()
  }

  private func watch() {
    guard let descriptor else { return }
    for path in [paths.resolverConfiguration, paths.hosts] {
      for file in Set([path, Self.resolved(path)]) {
        inotify_add_watch(descriptor, Self.directory(file), Self.mask)
        inotify_add_watch(descriptor, file, UInt32(IN_CLOSE_WRITE))
      }
    }
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

  /// Where a symbolic link leads; the path itself when it is none or leads nowhere.
  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  private static func directory(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
