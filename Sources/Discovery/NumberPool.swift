/// Small numbers for things that come and go: numbers are used again, so that tables by number stay short.
struct NumberPool: Sendable {
  private var released: [UInt32] = []
  private var next: UInt32 = 0

  mutating func take() -> UInt32 {
    if let number = released.popLast() { return number }
    defer { next += 1 }
    return next
  }

  mutating func release(_ number: UInt32) { released.append(number) }
}
