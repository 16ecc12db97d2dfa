import Model

/// Until when a name is known to have no record of a type.
struct Denials: Sendable {
  private static let types: [RecordType] = [.a, .aaaa, .srv, .txt]
  private var until = InlineArray<4, Instant>(repeating: Instant(nanoseconds: .min))

  func types(at now: Instant) -> Set<RecordType> { Set(Self.types.filter { self[$0] > now }) }

  mutating func deny(_ type: RecordType, until instant: Instant) { self[type] = instant }
  mutating func lift(_ type: RecordType) { self[type] = Instant(nanoseconds: .min) }

  private subscript(type: RecordType) -> Instant {
    get { Self.types.firstIndex(of: type).map { until[$0] } ?? Instant(nanoseconds: .min) }
    set { if let place = Self.types.firstIndex(of: type) { until[place] = newValue } }
  }
}
