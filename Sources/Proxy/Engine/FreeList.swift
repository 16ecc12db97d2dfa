/// The free ones of so many equal things, by number: last in, first out, so that a few hot ones serve almost everything. Those at the
/// bottom are cold: what backs them (pages, descriptors) was given back, or is still to come.
///
/// Invariant: each number is in it at most once; the lowest `cold` entries have nothing behind them.
struct FreeList: ~Copyable {
  private let numbers: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  private(set) var count: Int
  /// The fewest that were free since the last trim: those below it were not needed.
  private var lowest: Int
  private var cold: Int

  /// All are free, and cold. The first to be taken is 0.
  init(capacity: Int) {
    self.capacity = capacity
    numbers = .allocate(capacity: capacity)
    for i in 0..<capacity { numbers[i] = UInt32(capacity - 1 - i) }
    count = capacity
    lowest = capacity
    cold = capacity
  }

  deinit { numbers.deallocate() }

  /// What `take` would give.
  var top: UInt32? { count > 0 ? numbers[count - 1] : nil }

  mutating func take() -> UInt32? {
    guard count > 0 else { return nil }
    count -= 1
    if count < lowest { lowest = count }
    if count < cold { cold = count }
    return numbers[count]
  }

  mutating func give(_ number: UInt32) {
    assert(count < capacity, "given back twice")
    numbers[count] = number
    count += 1
  }

  /// How many are free and still have something behind them.
  var warmCount: Int { count - cold }

  /// Hands `cool` those that nobody needed since the last trim, apart from `kept` of them, and at most `limit` at a time.
  mutating func trim(keeping kept: Int, limit: Int, _ cool: (UInt32) -> Void) {
    let target = min(max(cold, lowest - kept), cold + limit)
    while cold < target {
      cool(numbers[cold])
      cold += 1
    }
    lowest = count
  }
}
