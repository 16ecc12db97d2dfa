/// Values at stable addresses under small reusable numbers: the listeners, backends and groups a worker knows. Grows on the
/// control path's commands only; a session keeps the number, and following it is two loads.
struct SlotTable<Element>: ~Copyable {
  private var slots: [UnsafeMutablePointer<Element>?] = []
  private var free: [Int32] = []

  deinit {
    for case let slot? in slots { Self.destroy(slot) }
  }

  subscript(number: Int32) -> UnsafeMutablePointer<Element> {
    guard let slot = slots[Int(number)] else { preconditionFailure("slot \(number) is empty") }
    return slot
  }

  /// Every number in use.
  var numbers: [Int32] { slots.indices.compactMap { slots[$0] == nil ? nil : Int32($0) } }

  mutating func insert(_ element: Element) -> Int32 {
    let slot = UnsafeMutablePointer<Element>.allocate(capacity: 1)
    slot.initialize(to: element)
    if let number = free.popLast() {
      slots[Int(number)] = slot
      return number
    }
    slots.append(slot)
    return Int32(slots.count - 1)
  }

  mutating func remove(_ number: Int32) {
    guard let slot = slots[Int(number)] else { return }
    slots[Int(number)] = nil
    free.append(number)
    Self.destroy(slot)
  }

  private static func destroy(_ slot: UnsafeMutablePointer<Element>) {
    slot.deinitialize(count: 1)
    slot.deallocate()
  }
}
