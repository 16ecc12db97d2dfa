/// What a completion of the ring is about, in the 64 bits that the kernel hands back as it got them.
struct UringTag: Equatable, BitwiseCopyable {
  enum Operation: UInt64, BitwiseCopyable {
    case receive, send, connect
    /// A poll that answers a peek.
    case peek
    /// A poll that waits for the end of a stream which nobody reads.
    case watch
    /// Polls for bytes to fill a pipe with, and for room to empty one into.
    case fillPipe, drainPipe
    case accept
    case wake
    /// A cancel or a close, whose own completion says nothing new.
    case done
  }

  /// Sockets and listeners that can be told apart.
  static let slots = 1 << 20
  /// No buffer of the pool.
  static let noBuffer = UInt16.max

  let packed: UInt64

  init(packed: UInt64) { self.packed = packed }

  /// Of the generation 24 bits are kept: old news lives for one pass or two, not for sixteen million sockets of the same slot.
  init(_ operation: Operation, slot: UInt32, generation: UInt32, buffer: UInt16 = noBuffer) {
    packed = operation.rawValue | UInt64(slot) << 4 | UInt64(generation & 0xFF_FFFF) << 24 | UInt64(buffer) << 48
  }

  var operation: Operation { Operation(rawValue: packed & 0xF) ?? .done }
  var slot: UInt32 { UInt32(truncatingIfNeeded: packed >> 4) & 0xF_FFFF }
  /// The pool's buffer that a send reads from.
  var buffer: UInt16 { UInt16(truncatingIfNeeded: packed >> 48) }

  func isOf(generation: UInt32) -> Bool { UInt32(truncatingIfNeeded: packed >> 24) & 0xFF_FFFF == generation & 0xFF_FFFF }
}
