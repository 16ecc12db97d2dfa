/// Which listeners have something to tell, and whose turn it is: a bounded number of new connections a pass, and the next pass begins
/// with another listener, so that one flooded port starves neither the rest nor the sessions that run.
struct ListenerTurns {
  /// Enough to empty a burst quickly.
  private static let acceptsPerPass = 64

  private var ready: [Int32] = []
  private var acceptsLeft = 0

  var isEmpty: Bool { ready.isEmpty }

  mutating func beginPass() { acceptsLeft = Self.acceptsPerPass }

  mutating func add(_ number: Int32) {
    if !ready.contains(number) { ready.append(number) }
  }

  mutating func remove(_ number: Int32) { ready.removeAll { $0 == number } }

  /// Nil when there is none, or the pass has had its share.
  var current: Int32? { acceptsLeft > 0 ? ready.first : nil }

  /// To be said after each accept, once `current` is no longer needed.
  mutating func countAccept() {
    acceptsLeft -= 1
    if acceptsLeft == 0, ready.count > 1 { ready.append(ready.removeFirst()) }
  }
}
