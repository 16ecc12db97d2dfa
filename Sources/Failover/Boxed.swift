/// A value on the heap, for the parts of something numerous that few of them have. It costs eight bytes where it is absent.
///
/// Rejected: a class with copy on write. The engine is copied for every dry run, and one forgotten check would let the copy change it.
indirect enum Boxed<Value: Sendable>: Sendable {
  case value(Value)

  var value: Value {
    switch self {
    case .value(let value): value
    }
  }
}
