import CLinux
import Glibc
import Model

/// What a program prints: all of it is read, so that it does not wait for us, and the beginning is kept.
final class OutputPipes {
  struct Pipe {
    let read: CInt
    var write: CInt
    var kept: [UInt8] = []
    var isOpen = true
  }

  /// Of each stream.
  private static let maximumKept = 1024

  private(set) var output: Pipe
  private(set) var error: Pipe

  init() throws(ProbeFailure) {
    output = try Pipe()
    do throws(ProbeFailure) {
      error = try Pipe()
    } catch {
      output.closeBoth()
      throw error
    }
  }

  deinit {
    output.closeBoth()
    error.closeBoth()
  }

  func closeWriteEnds() {
    output.closeWriteEnd()
    error.closeWriteEnd()
  }

  /// The complaint rather than the result.
  var firstLine: String { error.firstLine ?? output.firstLine ?? "" }

  /// Reads until `ended` is readable, and then what is left. Not until the pipes end: what the program has started may hold
  /// them for ever.
  func drain(until ended: CInt) {
    while true {
      var polled = [ended, output.isOpen ? output.read : -1, error.isOpen ? error.read : -1].map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
      guard poll(&polled, 3, -1) >= 0 || errno == EINTR else { return }
      output.drain()
      error.drain()
      if polled[0].revents != 0 { return }
    }
  }
}

extension OutputPipes.Pipe {
  fileprivate init() throws(ProbeFailure) {
    var ends: [CInt] = [-1, -1]
    // For the reading end only: the program must not meet EAGAIN.
    guard pipe2(&ends, O_CLOEXEC) == 0, fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 else {
      throw ProbeFailure(.local, "no pipe: \(String(cString: strerror(errno)))")
    }
    self.init(read: ends[0], write: ends[1])
  }

  fileprivate mutating func closeWriteEnd() {
    if write >= 0 { close(write) }
    write = -1
  }

  fileprivate mutating func closeBoth() {
    closeWriteEnd()
    close(read)
  }

  fileprivate var firstLine: String? {
    let line = kept.drop { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }.prefix { $0 != UInt8(ascii: "\n") }
    return line.isEmpty ? nil : String(decoding: line, as: UTF8.self)
  }

  /// What there is now, up to a pipe's capacity: the end of the program must be seen, however much it prints.
  fileprivate mutating func drain() {
    guard isOpen else { return }
    for _ in 0..<16 {
      let count = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
        let count = Glibc.read(read, buffer.baseAddress, buffer.count)
        if count > 0 { kept += buffer.prefix(min(count, OutputPipes.room(after: kept.count))) }
        return count
      }
      if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { isOpen = false }
      guard count > 0 else { return }
    }
  }
}

extension OutputPipes {
  fileprivate static func room(after count: Int) -> Int { max(0, maximumKept - count) }
}
