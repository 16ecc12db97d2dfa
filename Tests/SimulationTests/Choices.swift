import Model

/// What the simulation draws.
extension SeededGenerator {
  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  mutating func duration(milliseconds range: ClosedRange<Int>) -> Duration { .milliseconds(Int.random(in: range, using: &self)) }

  /// Any element; the collection is never empty here.
  mutating func pick<C: RandomAccessCollection>(_ choices: C) -> C.Element {
    choices[choices.index(choices.startIndex, offsetBy: Int.random(in: 0..<choices.count, using: &self))]
  }
}
