import CLinux
import Glibc

/// A number that stands for 64 KiB of a worker's pool, or for a pipe.
struct Buffer: Equatable, BitwiseCopyable {
  /// Memory counts from zero, pipes from here.
  private static let firstPipe: UInt32 = 0x8000_0000

  let number: UInt32

  init(number: UInt32) { self.number = number }
  init(pipe number: Int) { self.number = Self.firstPipe + UInt32(truncatingIfNeeded: number) }

  /// Its bytes stay in the kernel: nobody can look at them, they can only be sent on, from the first.
  var isPipe: Bool { number >= Self.firstPipe }
  var pipeNumber: Int { Int(number & ~Self.firstPipe) }
}

/// The only memory that bytes pass through: a fixed number of equal buffers, reserved as address space and backed by pages only
/// once touched.
struct BufferPool: ~Copyable {
  /// The watermark of one direction of one session, and the most one receive takes.
  static let size = 64 * 1024
  /// Free buffers that keep their pages. More is a burst that has passed.
  static let kept = 32
  /// What a trim gives back at most: the sessions wait for it.
  private static let trimmedAtOnce = 256

  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private var free: FreeList

  init(capacity: Int) throws(EngineError) {
    guard let memory = leba_reserve(capacity * Self.size) else { throw EngineError(operation: "reserving buffers", errno: errno) }
    base = memory
    self.capacity = capacity
    free = FreeList(capacity: capacity)
  }

  deinit { leba_unreserve(base, capacity * Self.size) }

  var freeCount: Int { free.count }

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { base + Int(buffer.number) * Self.size }

  /// The number of the buffer that holds this byte; nil when it lies outside of the pool.
  func number(of byte: UnsafeRawPointer) -> Int? {
    let offset = byte - UnsafeRawPointer(base)
    return offset >= 0 && offset < capacity * Self.size ? offset / Self.size : nil
  }

  mutating func take() -> Buffer? { free.take().map(Buffer.init(number:)) }
  mutating func give(_ buffer: Buffer) { free.give(buffer.number) }

  /// Whether a trim would give memory back.
  var isBloated: Bool { free.warmCount > Self.kept }

  /// Gives back the pages of buffers that nobody needed since the last trim, a bounded number at a time.
  mutating func trim() {
    let base = base
    free.trim(keeping: Self.kept, limit: Self.trimmedAtOnce) { leba_forget_pages(base + Int($0) * Self.size, Self.size) }
  }

  func forgetPages(of buffer: Buffer) { leba_forget_pages(bytes(of: buffer), Self.size) }
}
