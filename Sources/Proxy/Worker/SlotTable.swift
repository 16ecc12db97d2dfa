/// Values at stable addresses under small reusable numbers: the listeners, backends and groups a worker knows. Grows on the
/// control path's commands only; a session keeps the number, and following it is two loads.
///
/// In chunks of 64: fifty thousand allocations of their own would cost a quarter more than what is in them. A number that was freed is
/// used again before a fresh one, and a chunk that holds nothing gives its memory back.
struct SlotTable<Element>: ~Copyable {
  private struct Chunk {
    var slots: UnsafeMutablePointer<Element>?
    /// One bit for each slot in use.
    var used: UInt64 = 0
  }

  private static var chunkSize: Int { UInt64.bitWidth }

  private var chunks: [Chunk] = []
  /// No chunk before this one has room.
  private var firstWithRoom = 0

  deinit {
    for chunk in chunks {
      guard let slots = chunk.slots else { continue }
      for i in 0..<Self.chunkSize where chunk.used >> i & 1 == 1 { (slots + i).deinitialize(count: 1) }
      slots.deallocate()
    }
  }

  @inline(__always) subscript(number: Int32) -> UnsafeMutablePointer<Element> {
    let (chunk, place) = (chunks[Int(number) / Self.chunkSize], Int(number) % Self.chunkSize)
    guard chunk.used >> place & 1 == 1, let slots = chunk.slots else { preconditionFailure("slot \(number) is empty") }
    return slots + place
  }

  /// Every number in use.
  var numbers: [Int32] {
    chunks.indices.flatMap { index in
      (0..<Self.chunkSize).filter { chunks[index].used >> $0 & 1 == 1 }.map { Int32(index * Self.chunkSize + $0) }
    }
  }

  mutating func insert(_ element: Element) -> Int32 {
    while firstWithRoom < chunks.count, chunks[firstWithRoom].used == .max { firstWithRoom += 1 }
    if firstWithRoom == chunks.count { chunks.append(Chunk()) }
    let index = firstWithRoom
    let slots = chunks[index].slots ?? .allocate(capacity: Self.chunkSize)
    let place = (~chunks[index].used).trailingZeroBitCount
    (slots + place).initialize(to: element)
    chunks[index].slots = slots
    chunks[index].used |= 1 << place
    return Int32(index * Self.chunkSize + place)
  }

  mutating func remove(_ number: Int32) {
    let (index, place) = (Int(number) / Self.chunkSize, Int(number) % Self.chunkSize)
    guard chunks[index].used >> place & 1 == 1, let slots = chunks[index].slots else { return }
    (slots + place).deinitialize(count: 1)
    chunks[index].used &= ~(1 << place)
    firstWithRoom = min(firstWithRoom, index)
    guard chunks[index].used == 0 else { return }
    slots.deallocate()
    chunks[index].slots = nil
  }
}
