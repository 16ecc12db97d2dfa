import Foundation

/// Makes operations of a sidecar's rings fail: the counterpart of `Strace` for io_uring. The sidecar is started with `environment`, and
/// then faults are switched on and off while it runs. Linux 6.10 can do it.
package final class RingFaults: Sendable {
  /// By the kernel's numbers.
  package enum Operation: Int32, Sendable {
    case poll = 6, accept = 13, connect = 16, send = 26, receive = 27
    /// The system call that hands the operations over.
    case enter = -1
  }

  package enum Fault: Sendable, CustomStringConvertible {
    case error(Int32)
    /// Not a fault: the kernel moves as few bytes as it likes.
    case atMost(Int32)

    package var description: String {
      switch self {
      case .error(let code): errnoText(code)
      case .atMost(let count): "at most \(count) bytes"
      }
    }

    fileprivate var result: Int32 {
      switch self {
      case .error(let code): -code
      case .atMost(let count): count
      }
    }
  }

  /// The words of the file, in the order that Tests/Shims/ring-faults.c gives them.
  private enum Word: Int { case isArmed, operation, result, first, every, most, acceptsSingly, seen, injected }

  private let shim: Shim
  private let directory: TemporaryDirectory
  private let file: Int32

  /// - Parameter acceptsSingly: each accept takes one connection, so that there are many to fail.
  package init(acceptsSingly: Bool = false) async throws {
    shim = try await Shim("ring-faults", .library)
    directory = try TemporaryDirectory()
    file = open(directory.file("faults"), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw TestFailure("cannot make \(directory.file("faults")): \(errnoText())") }
    try write([0, 0, 0, 1, 1, 0, acceptsSingly ? 1 : 0, 0, 0], at: .isArmed)
  }

  deinit { close(file) }

  package var environment: [String: String] {
    ["LD_PRELOAD": shim.path, "LEBA_RING_FAULTS": directory.file("faults")]
  }

  /// - Parameters:
  ///   - first: the first of these operations from now on that is hit.
  ///   - every: from there.
  ///   - most: in all.
  package func inject(
    _ fault: Fault, into operation: Operation, first: Int32 = 1, every: Int32 = 1, most: Int32 = .max
  ) throws {
    try write([0], at: .isArmed)
    try write([operation.rawValue, fault.result, first, every, most], at: .operation)
    try write([0, 0], at: .seen)
    try write([1], at: .isArmed)
  }

  /// From now on nothing fails.
  package func stop() throws { try write([0], at: .isArmed) }

  /// How many operations were hit since faults were last switched on.
  package var injected: Int {
    get throws {
      var word: Int32 = 0
      guard pread(file, &word, MemoryLayout<Int32>.size, Self.place(.injected)) == MemoryLayout<Int32>.size else {
        throw TestFailure("cannot read \(directory.file("faults")): \(errnoText())")
      }
      return Int(word)
    }
  }

  private func write(_ words: [Int32], at word: Word) throws {
    let size = words.count * MemoryLayout<Int32>.size
    guard pwrite(file, words, size, Self.place(word)) == size else {
      throw TestFailure("cannot write \(directory.file("faults")): \(errnoText())")
    }
  }

  private static func place(_ word: Word) -> Int { word.rawValue * MemoryLayout<Int32>.size }

  /// Whether the kernel is new enough; whether io_uring is permitted is the caller's to ask.
  package static let isUsable: Bool = {
    var system = utsname()
    guard uname(&system) == 0 else { return false }
    let release = withUnsafeBytes(of: system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 10)
  }()
}
