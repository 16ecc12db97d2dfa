import Model

/// Chooses among the members that serve a route. Pure: the caller says how many sessions each has.
///
/// Both ways scan all candidates. Up to hundreds that is nothing beside the system calls of a connection; at ten thousand it is some
/// ten microseconds, and worth it for not keeping an ordered structure true across changes of the table.
struct Balancer {
  struct Candidate: Equatable {
    let backend: Int32
    /// At least 1.
    let weight: Int32
    /// Smooth weighted round robin: what it has coming.
    fileprivate(set) var credit: Int64 = 0
  }

  /// Keeps sums and products far from overflow, whatever a table says.
  private static let heaviest = 1_000_000

  private(set) var candidates: [Candidate] = []
  private var balance = Balance.roundRobin
  private var rotation = 0

  /// Weight 0 takes nothing, unless all have it: then it says nothing.
  ///
  /// Credits survive for those who stay, or a group whose table changes often would send everything to its first member. Returns
  /// whether somebody is a candidate who was not.
  mutating func replace(_ members: [(backend: Int32, weight: Int)], balance: Balance) -> Bool {
    self.balance = balance
    let allZero = members.allSatisfy { $0.weight <= 0 }
    let weighted = members.lazy.filter { allZero || $0.weight > 0 }.map {
      ($0.backend, weight: Int32(min(max(1, $0.weight), Self.heaviest)))
    }
    if weighted.elementsEqual(candidates, by: { $0.0 == $1.backend && $0.weight == $1.weight }) { return false }
    let credits = Dictionary(candidates.map { ($0.backend, $0.credit) }, uniquingKeysWith: { first, _ in first })
    candidates = weighted.map { backend, weight in Candidate(backend: backend, weight: weight, credit: credits[backend] ?? 0) }
    rotation = 0
    return candidates.contains { credits[$0.backend] == nil }
  }

  mutating func pick(excluding tried: TriedBackends, sessions: (Int32) -> Int) -> Int32? {
    switch balance {
    case .roundRobin, .peakEWMA, .sourceHash, .consistentHash: pickInTurn(excluding: tried)
    case .leastConnections: pickLeastLoaded(excluding: tried, sessions: sessions)
    }
  }

  /// nginx's smooth weighted round robin: weights 5, 1, 1 give a a b a c a a, never five in a row.
  private mutating func pickInTurn(excluding tried: TriedBackends) -> Int32? {
    var best: Int?
    var total: Int64 = 0
    for i in candidates.indices where !tried.contains(candidates[i].backend) {
      let weight = Int64(candidates[i].weight)
      candidates[i].credit += weight
      total += weight
      if best.map({ candidates[i].credit > candidates[$0].credit }) ?? true { best = i }
    }
    guard let best else { return nil }
    candidates[best].credit -= total
    return candidates[best].backend
  }

  /// The fewest sessions per weight, counting the one to come; ties go round.
  private mutating func pickLeastLoaded(excluding tried: TriedBackends, sessions: (Int32) -> Int) -> Int32? {
    var best: (index: Int, load: Int64, weight: Int64)?
    for step in candidates.indices {
      let i = (rotation + step) % candidates.count
      guard !tried.contains(candidates[i].backend) else { continue }
      let load = Int64(sessions(candidates[i].backend)) + 1
      let weight = Int64(candidates[i].weight)
      if let current = best, load * current.weight >= current.load * weight { continue }
      best = (i, load, weight)
    }
    guard let best else { return nil }
    rotation = (best.index + 1) % candidates.count
    return candidates[best.index].backend
  }
}
