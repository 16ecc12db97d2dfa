import Model

/// Of equal failures, one copy: the engine keeps the last failure of each member, and in a bad hour tens of thousands say the same.
struct FailurePool {
  /// More kinds of texts than this are not worth looking for.
  private static let capacity = 256

  private var known: Set<ProbeFailure> = []

  mutating func shared(_ outcome: ProbeOutcome) -> ProbeOutcome {
    guard case .failed(let failure) = outcome else { return outcome }
    if known.count >= Self.capacity, !known.contains(failure) { known.removeAll(keepingCapacity: true) }
    return .failed(known.insert(failure).memberAfterInsert)
  }
}
