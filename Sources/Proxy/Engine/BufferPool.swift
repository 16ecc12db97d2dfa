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
/// once touched. Last in, first out, so that a few hot buffers serve almost everything and the cache keeps them.
///
/// Invariant: `free` holds each buffer at most once; its lowest `cold` entries have no pages behind them.
struct BufferPool: ~Copyable {
  /// The watermark of one direction of one session, and the most one receive takes.
  static let size = 64 * 1024
  /// Free buffers that keep their pages. More is a burst that has passed.
  static let kept = 32

  private let base: UnsafeMutableRawPointer
  private let free: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  private(set) var freeCount: Int
  /// The fewest free buffers since the last trim: those below it were not needed.
  private var lowest: Int
  private var cold: Int

  init(capacity: Int) throws(EngineError) {
    guard let memory = leba_reserve(capacity * Self.size) else { throw EngineError(operation: "reserving buffers", errno: errno) }
    base = memory
    self.capacity = capacity
    free = .allocate(capacity: capacity)
    for i in 0..<capacity { free[i] = UInt32(capacity - 1 - i) }
    freeCount = capacity
    lowest = capacity
    cold = capacity
  }

  deinit {
    leba_unreserve(base, capacity * Self.size)
    free.deallocate()
  }

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { base + Int(buffer.number) * Self.size }

  /// The number of the buffer that holds this byte; nil when it lies outside of the pool.
  func number(of byte: UnsafeRawPointer) -> Int? {
    let offset = byte - UnsafeRawPointer(base)
    return offset >= 0 && offset < capacity * Self.size ? offset / Self.size : nil
  }

  mutating func take() -> Buffer? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    if freeCount < lowest { lowest = freeCount }
    if freeCount < cold { cold = freeCount }
    return Buffer(number: free[freeCount])
  }

  mutating func give(_ buffer: Buffer) {
    assert(freeCount < capacity, "a buffer was given back twice")
    free[freeCount] = buffer.number
    freeCount += 1
  }

  /// Whether a trim would give memory back.
  var isBloated: Bool { freeCount - cold > Self.kept }

  /// Gives back the pages of buffers that nobody needed since the last trim, a bounded number at a time.
  mutating func trim() {
    let target = min(max(cold, lowest - Self.kept), cold + 256)
    while cold < target {
      forgetPages(of: Buffer(number: free[cold]))
      cold += 1
    }
    lowest = freeCount
  }

  func forgetPages(of buffer: Buffer) { leba_forget_pages(bytes(of: buffer), Self.size) }
}
