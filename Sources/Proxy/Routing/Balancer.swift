import Model

/// Chooses among the members that serve a route. Pure: the caller says what is known of the connection and of each backend.
///
/// All ways but peak EWMA scan the candidates. Up to hundreds that is nothing beside the system calls of a connection; at ten thousand it
/// is some ten microseconds (some hundred for consistent hash), and worth it for not keeping an ordered structure true across changes.
struct Balancer {
  /// A member that serves.
  struct Member {
    let backend: Int32
    let name: BackendID
    let weight: UInt16
    /// Percent.
    let share: UInt8
  }

  struct Candidate: Equatable {
    let backend: Int32
    /// Weight times share, at least 1.
    let weight: Int32
    /// Consistent hash: who it is, wherever it stands in the table.
    let identity: UInt64
    /// Smooth weighted round robin: what it has coming.
    fileprivate(set) var credit: Int64 = 0
  }

  /// A connection that wants a backend.
  struct Request {
    var tried = TriedBackends()
    /// A `StableHash` of the client's address.
    var client = StableHash.noAddress
    var random: UInt64 = 0
    var now = Instant.zero
  }

  struct Load {
    var sessions = 0
    var latency = LatencyEstimate()
  }

  private(set) var candidates: [Candidate] = []
  private var balance = Balance.roundRobin
  private var rotation = 0

  /// Whether `Request.client` matters.
  var looksAtClient: Bool { balance == .sourceHash || balance == .consistentHash }

  /// Credits survive for those who stay, or a group whose table changes often, as during a slow start, would send everything to its first
  /// member. Returns whether somebody is a candidate who was not.
  mutating func replace(_ members: [Member], balance: Balance) -> Bool {
    let weighing = Weighing(members)
    let weighted = members.lazy.map { (member: $0, weight: weighing.weight(of: $0)) }.filter { $0.weight > 0 }
    let isSame =
      self.balance == balance
      && weighted.elementsEqual(candidates, by: { $0.member.backend == $1.backend && $0.weight == $1.weight })
    if isSame { return false }
    self.balance = balance
    let credits = Dictionary(candidates.map { ($0.backend, $0.credit) }, uniquingKeysWith: { first, _ in first })
    let scale = CreditScale(from: candidates.totalWeight, to: weighted.reduce(0) { $0 + Int64($1.weight) })
    candidates = weighted.map { member, weight in
      Candidate(
        backend: member.backend, weight: weight, identity: balance == .consistentHash ? StableHash.of(member.name) : 0,
        credit: scale.apply(to: credits[member.backend] ?? 0))
    }
    return candidates.contains { credits[$0.backend] == nil }
  }

  mutating func pick(_ request: Request, load: (Int32) -> Load) -> Int32? {
    switch balance {
    case .roundRobin: pickInTurn(excluding: request.tried)
    case .leastConnections: pickLeastLoaded(excluding: request.tried, load: load)
    case .peakEWMA: pickCheaperOfTwo(request, load: load)
    case .sourceHash: pickByPlace(request)
    case .consistentHash: pickByRendezvous(request)
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
  private mutating func pickLeastLoaded(excluding tried: TriedBackends, load: (Int32) -> Load) -> Int32? {
    var best: (index: Int, load: Int64, weight: Int64)?
    for step in candidates.indices {
      let i = (rotation + step) % candidates.count
      guard !tried.contains(candidates[i].backend) else { continue }
      let load = Int64(load(candidates[i].backend).sessions) + 1
      let weight = Int64(candidates[i].weight)
      if let current = best, load * current.weight >= current.load * weight { continue }
      best = (i, load, weight)
    }
    guard let best else { return nil }
    rotation = (best.index + 1) % candidates.count
    return candidates[best.index].backend
  }
}

/// What weights and shares come to. Nobody with a part of 0 takes anything, unless all have it: then the shares say nothing, and if the
/// weights are all 0 too, neither do they.
private enum Weighing {
  case byShare, byWeight, alike

  init(_ members: [Balancer.Member]) {
    if members.contains(where: { $0.weight > 0 && $0.share > 0 }) {
      self = .byShare
    } else {
      self = members.contains { $0.weight > 0 } ? .byWeight : .alike
    }
  }

  func weight(of member: Balancer.Member) -> Int32 {
    switch self {
    case .byShare: Int32(member.weight) * Int32(member.share)
    case .byWeight: Int32(member.weight)
    case .alike: 1
    }
  }
}

/// Brings credits from one sum of weights to another. Credits stay within the sum; unscaled, those of a group that became light would take
/// thousands of turns to be used up.
private struct CreditScale {
  private let factor: Double
  private let limit: Double

  init(from old: Int64, to new: Int64) {
    factor = old > 0 ? Double(new) / Double(old) : 0
    limit = Double(new)
  }

  func apply(to credit: Int64) -> Int64 { Int64(min(limit, max(-limit, Double(credit) * factor))) }
}

extension Array<Balancer.Candidate> {
  var totalWeight: Int64 { reduce(0) { $0 + Int64($1.weight) } }
}
