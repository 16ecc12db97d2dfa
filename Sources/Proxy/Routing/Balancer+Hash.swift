import Glibc

/// The balances by the client's address.
extension Balancer {
  /// The members laid end to end by weight, in the table's order, and the client's hash a point on them.
  func pickByPlace(_ client: UInt64, _ isOut: (Int32) -> Bool) -> Int32? {
    let total = candidates.reduce(0) { isOut($1.backend) ? $0 : $0 + UInt64($1.weight) }
    var place = client.multipliedFullWidth(by: total).high
    for candidate in candidates where !isOut(candidate.backend) {
      if place < candidate.weight { return candidate.backend }
      place -= UInt64(candidate.weight)
    }
    return nil
  }

  /// Weighted rendezvous hashing: client and candidate make a number from 0 to 1, its logarithm by the weight is an arrival time, and the
  /// first to arrive is chosen (Efraimidis and Spirakis). No candidate's time depends on another, so who goes moves only its own
  /// clients, who comes takes its share evenly from all, and there is no ring to size.
  func pickByRendezvous(_ client: UInt64, _ isOut: (Int32) -> Bool) -> Int32? {
    var best: (backend: Int32, arrival: Double)?
    for candidate in candidates where !isOut(candidate.backend) {
      let arrival = candidate.arrival(for: client)
      if let current = best, current.arrival <= arrival { continue }
      best = (candidate.backend, arrival)
    }
    return best?.backend
  }
}

extension Balancer.Candidate {
  /// Above 0 and at most 1 goes into the logarithm: 53 bits, and one more than none.
  func arrival(for client: UInt64) -> Double {
    let uniform = Double((StableHash.mix(client ^ identity) >> 11) + 1) * 0x1p-53
    return -log(uniform) / Double(weight)
  }
}
