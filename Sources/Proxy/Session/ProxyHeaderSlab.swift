import CLinux
import Glibc
import Model

/// The header of each session whose backend wants one, at an address that stays while the engine sends it. Reserved for all sessions;
/// pages cost nothing until a header is written to them.
struct ProxyHeaderSlab: ~Copyable {
  private static let stride = 128
  private let base: UnsafeMutableRawPointer
  private let size: Int

  init(capacity: Int) throws(EngineError) {
    size = capacity * Self.stride
    guard let memory = leba_reserve(size) else { throw EngineError(operation: "reserving headers", errno: errno) }
    base = memory
  }

  deinit { leba_unreserve(base, size) }

  func write(_ header: [UInt8], for index: SessionIndex) {
    let count = min(header.count, ProxyHeader.longest)
    let entry = base + Int(index) * Self.stride
    entry.storeBytes(of: UInt8(count), as: UInt8.self)
    (entry + 1).copyMemory(from: header, byteCount: count)
  }

  /// What is left to send after so many bytes.
  func rest(of index: SessionIndex, after sent: Int) -> UnsafeRawBufferPointer {
    let entry = base + Int(index) * Self.stride
    let count = Int(entry.load(as: UInt8.self))
    let skipped = min(sent, count)
    return UnsafeRawBufferPointer(start: entry + 1 + skipped, count: count - skipped)
  }
}
