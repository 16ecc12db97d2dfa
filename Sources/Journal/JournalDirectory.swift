import Glibc

/// The state directory: the names of the files in it, and what happens to files that cannot be used.
struct JournalDirectory: Sendable {
  let path: String

  init(path: String) { self.path = path.isEmpty ? "." : path }

  var database: String { path + "/leba.sqlite" }
  private var lockFile: String { path + "/leba.lock" }

  /// What SQLite keeps beside a database, and the database itself.
  private static let suffixes = ["", "-wal", "-shm", "-journal"]

  /// Makes the directory, parents included, for nobody but us.
  func make() throws(JournalFailure) {
    var information = stat()
    guard stat(path, &information) != 0 else { return }
    var made = path.hasPrefix("/") ? "" : "."
    for component in path.split(separator: "/") {
      made += "/" + component
      if mkdir(made, 0o700) != 0, errno != EEXIST { throw unusable("cannot make the directory \(made)", errno) }
    }
  }

  /// Tries for a tenth of a second: a program that this process starts (a check of kind exec) has, until it runs, a copy of every
  /// descriptor, and with the one of a lock that was just given back the lock itself.
  private static func take(_ descriptor: Int32) -> Bool {
    for _ in 0..<20 {
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
      guard errno == EWOULDBLOCK else { return false }
      usleep(5000)
    }
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0
  }

  /// Takes the lock that keeps the files to one process.
  func lock() throws(JournalFailure) -> DirectoryLock {
    let descriptor = open(lockFile, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { throw unusable("cannot open \(lockFile)", errno) }
    let lock = DirectoryLock(adopting: descriptor)
    guard Self.take(descriptor) else {
      guard errno == EWOULDBLOCK else { throw unusable("cannot lock \(lockFile)", errno) }
      let owner = lock.owner.map { " (process \($0))" } ?? ""
      throw JournalFailure(
        .inUse, "another leba\(owner) keeps its journal in \(path)", remedy: "give each process a `state_directory` of its own")
    }
    lock.signOwner()
    return lock
  }

  /// Makes the file before SQLite does, which would let everybody read it. Not to be called while the database is open in this
  /// process: closing any descriptor of a file drops all POSIX locks the process has on it.
  func prepareDatabaseFile() throws(JournalFailure) {
    let descriptor = open(database, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { throw unusable("cannot open \(database)", errno) }
    defer { close(descriptor) }
    var information = stat()
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      throw JournalFailure(.cannotOpen, "\(database) is not a regular file", remedy: "move it away")
    }
    fchmod(descriptor, 0o600)
  }

  /// Renames the database with its companions, so that people can look into it, and answers the new name.
  ///
  /// - Parameter label: `damaged` or `newer`.
  func setAside(as label: String, now: Double) throws(JournalFailure) -> String {
    let stamped = "\(database).\(label)-\(Self.timestamp(now))"
    // Within one second, another was set aside. The lock is ours: nobody makes one between the look and the rename.
    let target = (0..<1000).lazy.map { $0 == 0 ? stamped : "\(stamped).\($0)" }.first { candidate in
      Self.suffixes.allSatisfy { access(candidate + $0, F_OK) != 0 }
    }
    guard let target else {
      throw JournalFailure(.cannotOpen, "\(stamped) exists a thousand times", remedy: "remove files that were set aside")
    }
    // The database last: were we killed in between, the next start would find it damaged still, and not companions alone.
    for suffix in Self.suffixes.reversed() where rename(database + suffix, target + suffix) != 0 && errno != ENOENT {
      throw unusable("cannot rename \(database + suffix)", errno)
    }
    return target
  }

  /// Whether the operating system would let us write, whatever SQLite says.
  var isWritable: Bool { access(database, W_OK) == 0 && access(path, W_OK) == 0 }

  private func unusable(_ what: String, _ code: Int32) -> JournalFailure {
    let kind: JournalNotice.Kind =
      switch code {
      case ENOSPC, EDQUOT: .diskFull
      case EROFS: .readOnly
      default: .cannotOpen
      }
    return JournalFailure(
      kind, "\(what): \(String(cString: strerror(code)))",
      remedy: "correct `state_directory`, or let the user that runs leba write there")
  }

  /// `20261123T063612Z`
  private static func timestamp(_ now: Double) -> String {
    var seconds = time_t(exactly: now.rounded(.down)) ?? 0
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "\(seconds)" }
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(Int(parts.tm_year) + 1900)\(padded(parts.tm_mon + 1))\(padded(parts.tm_mday))T"
      + "\(padded(parts.tm_hour))\(padded(parts.tm_min))\(padded(parts.tm_sec))Z"
  }
}

/// A lock on the state directory. It goes with this value, and with the process, however that ends.
///
/// A file of its own, never removed: SQLite locks the database by other means, and a removed lock file would let two processes
/// lock two files of one name.
final class DirectoryLock: Sendable {
  private let descriptor: Int32

  init(adopting descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Who signed the file last.
  var owner: Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
  }

  /// For people only; it is the lock that counts, so on a full disk it stays empty.
  func signOwner() {
    let text = Array("\(getpid())\n".utf8)
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
  }
}
