import CLinux

/// The pool's buffers as a ring uses them: some lie with the kernel, which fills one when bytes arrive and not before, so an idle
/// connection holds none; some are being sent from, and come back to the pool only when the kernel has read them.
///
/// Invariant: `offered` buffers are with the kernel, taken from the pool. They grow when receives found none, up to a bound.
struct UringBuffers: ~Copyable {
  private static let fewestOffered = 32
  private static let mostOffered = 1024

  private enum Loan { case none, sending, sendingAndRecycled }

  private var pool: BufferPool
  /// By buffer: whether the kernel reads from it.
  private let loans: UnsafeMutablePointer<Loan>
  private let places: Int
  private(set) var offered = 0
  private var wanted: Int
  /// Bytes came that filled more than the first page of a buffer: there is memory to give back.
  private var touchedMuch = false

  init(capacity: Int) throws(EngineError) {
    let capacity = min(capacity, Int(UringTag.noBuffer))
    pool = try BufferPool(capacity: capacity)
    loans = .allocate(capacity: capacity)
    loans.initialize(repeating: .none, count: capacity)
    var places = 1
    while places < min(capacity, Self.mostOffered) { places *= 2 }
    self.places = places
    wanted = min(Self.fewestOffered, places)
  }

  deinit { loans.deallocate() }

  func register(with ring: UnsafeMutablePointer<leba_ring>) throws(EngineError) {
    let status = leba_ring_open_buffers(ring, UInt32(places))
    guard status >= 0 else { throw EngineError(operation: "registering buffers with io_uring", errno: -status) }
  }

  func bytes(of buffer: Buffer) -> UnsafeMutableRawPointer { pool.bytes(of: buffer) }

  /// The number of the pool's buffer that the bytes lie in.
  func number(of bytes: UnsafeRawPointer) -> UInt16 {
    pool.number(of: bytes).map { UInt16(truncatingIfNeeded: $0) } ?? UringTag.noBuffer
  }

  // MARK: With the kernel

  mutating func offer(to ring: UnsafeMutablePointer<leba_ring>) {
    guard offered < wanted else { return }
    var changed = false
    while offered < wanted, let buffer = pool.take() {
      leba_ring_offer_buffer(ring, pool.bytes(of: buffer), UInt32(BufferPool.size), UInt16(truncatingIfNeeded: buffer.number))
      offered += 1
      changed = true
    }
    if changed { leba_ring_publish_buffers(ring) }
  }

  /// The kernel put bytes into it: it is the caller's now.
  mutating func filled(_ number: UInt32, count: Int32) -> Buffer {
    offered -= 1
    if count > 4096 { touchedMuch = true }
    return Buffer(number: number)
  }

  /// A receive found no buffer: offer more from now on.
  mutating func fellShort() { wanted = min(places, wanted * 2) }

  // MARK: With senders

  mutating func lend(_ number: UInt16) {
    if number != UringTag.noBuffer { loans[Int(number)] = .sending }
  }

  mutating func sendEnded(_ number: UInt16) {
    guard number != UringTag.noBuffer else { return }
    let wasRecycled = loans[Int(number)] == .sendingAndRecycled
    loans[Int(number)] = .none
    if wasRecycled { pool.give(Buffer(number: UInt32(number))) }
  }

  mutating func recycle(_ buffer: Buffer) {
    if loans[Int(buffer.number)] == .none {
      pool.give(buffer)
    } else {
      loans[Int(buffer.number)] = .sendingAndRecycled
    }
  }

  // MARK: Memory

  var isBloated: Bool { pool.isBloated || touchedMuch }

  /// Gives back what a burst has touched: pages of free buffers, and those of the offered ones, which hold nothing.
  mutating func trim(_ ring: UnsafeMutablePointer<leba_ring>) {
    pool.trim()
    guard touchedMuch else { return }
    touchedMuch = false
    for back in stride(from: 1, through: offered, by: 1) {
      let number = leba_ring_offered_buffer(ring, UInt16(truncatingIfNeeded: back))
      pool.forgetPages(of: Buffer(number: UInt32(number)))
    }
  }
}
