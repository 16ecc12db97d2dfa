/// Values that many members have in common, kept once each while anybody uses them.
struct Interned<Value: Hashable & Sendable>: Sendable {
  private struct Entry {
    /// Nil: free.
    var value: Value?
    var users: UInt32
  }

  private var entries = Slab<Entry>()
  private var numbers: [Value: UInt32] = [:]
  private var free: [UInt32] = []

  func number(of value: Value) -> UInt32? { numbers[value] }

  func value(_ number: UInt32) -> Value? { Int(number) < entries.count ? entries[Int(number)].value : nil }

  /// One user more.
  mutating func take(_ value: Value) -> UInt32 {
    if let number = numbers[value] {
      entries[Int(number)].users += 1
      return number
    }
    let entry = Entry(value: value, users: 1)
    let number: UInt32
    if let reused = free.popLast() {
      number = reused
      entries[Int(number)] = entry
    } else {
      number = UInt32(entries.count)
      entries.append(entry)
    }
    numbers[value] = number
    return number
  }

  /// One user less.
  mutating func drop(_ number: UInt32) {
    guard let value = value(number) else { return }
    entries[Int(number)].users -= 1
    guard entries[Int(number)].users == 0 else { return }
    entries[Int(number)].value = nil
    numbers[value] = nil
    free.append(number)
  }
}
