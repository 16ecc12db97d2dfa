import Glibc

/// The bytes of a small regular file, or why not.
///
/// Foundation's readers hide the reason and have no bound; a FIFO or a device given by mistake would hang the start.
func contents(ofFile path: String, limit: Int, forSecret: Bool = false) throws(Complaint) -> [UInt8] {
  let noun = forSecret ? "secret file" : "file"
  // The kernel would read a shorter name than the one we were given.
  guard !path.utf8.contains(0), !path.isEmpty else {
    throw Complaint("the \(noun) \(quoted(path)) cannot exist", "give the path of a file")
  }
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
  guard descriptor >= 0 else {
    switch errno {
    case ENOENT: throw Complaint("there is no \(noun) \(quoted(path))", "create it, or correct the path")
    case EACCES: throw Complaint("no permission to read the \(noun) \(quoted(path))", "let the user that runs leba read it")
    case let code:
      throw Complaint("cannot open the \(noun) \(quoted(path)): \(reason(code))", "correct the path, or the file")
    }
  }
  defer { close(descriptor) }

  var status = stat()
  guard fstat(descriptor, &status) == 0 else {
    throw Complaint("cannot examine the \(noun) \(quoted(path)): \(reason(errno))", "correct the path, or the file")
  }
  switch status.st_mode & S_IFMT {
  case S_IFREG: break
  case S_IFDIR: throw Complaint("\(quoted(path)) is a directory", "give the path of a file")
  default: throw Complaint("\(quoted(path)) is not a regular file", "give the path of a regular file")
  }
  if forSecret, status.st_mode & (S_IRGRP | S_IROTH) != 0 {
    throw Complaint("the secret file \(quoted(path)) can be read by group or others", "run chmod 600 on it")
  }

  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while bytes.count <= limit {
    let count = read(descriptor, &chunk, chunk.count)
    if count == 0 { return bytes }
    if count < 0 {
      if errno == EINTR { continue }
      throw Complaint("cannot read the \(noun) \(quoted(path)): \(reason(errno))", "correct the path, or the file")
    }
    bytes += chunk[..<count]
  }
  throw Complaint("the \(noun) \(quoted(path)) is larger than \(limit / 1024) KiB", "make it smaller")
}

/// Thread-safe, unlike `strerror`.
private func reason(_ code: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 128)
  guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
