import Glibc

/// Word from the kernel that files may have changed.
///
/// Files are replaced by rename more often than they are written, so it is their directories that are watched: also the one a
/// symbolic link leads to (systemd-resolved, Kubernetes), and the file itself, which a container may have mounted by itself.
package final class FileWatch {
  private static let mask = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE)

  private let paths: [String]
  /// Readable when there is word; nil when the host gives no inotify instance.
  package let descriptor: Int32?

  package init(_ paths: [String]) {
    self.paths = paths
    let inotify = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    descriptor = inotify >= 0 ? inotify : nil
    watch()
  }

  deinit {
    if let descriptor { close(descriptor) }
  }

  /// Takes the pending events. Which file of which directory they name is not looked at: a link's target may just have
  /// changed, and reading a small file again is cheap.
  package func takeEvents() {
    guard let descriptor else { return }
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: MemoryLayout<inotify_event>.alignment) { buffer in
      while read(descriptor, buffer.baseAddress, buffer.count) > 0 {}
    }
    // A link may lead elsewhere now, and a new file needs a new watch. Existing watches are found again by the kernel.
    watch()
  }

  private func watch() {
    guard let descriptor else { return }
    for path in paths {
      for file in Set([path, Self.resolved(path)]) {
        inotify_add_watch(descriptor, Self.directory(file), Self.mask)
        inotify_add_watch(descriptor, file, UInt32(IN_CLOSE_WRITE))
      }
    }
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
