import Model

/// Chooses among the members that serve a route. Pure: the caller says what is known of the connection and of each backend.
///
/// All ways but peak EWMA scan the candidates. Up to hundreds that is nothing beside the system calls of a connection; at ten thousand it
/// is some ten microseconds (some hundred for consistent hash), and worth it for not keeping an ordered structure true across changes.
struct Balancer {
  struct Candidate: Equatable {
    let backend: Int32
    /// Weight times share, at least 1.
    var weight: Int32
    /// Consistent hash: who it is, wherever it stands in the table.
    let identity: UInt64
    /// Smooth weighted round robin: what it has coming.
    var credit: Int64 = 0
  }

  /// A connection that wants a backend.
  struct Request {
    var tried = TriedBackends()
    /// A `StableHash` of the client's address.
    var client = StableHash.noAddress
    var random: UInt64 = 0
    var now = Instant.zero
    /// Candidates may be full, or have lost their place since they became candidates.
    var mustAsk = false
  }

  struct Load {
    var sessions = 0
    var latency = LatencyEstimate()
  }

  private(set) var candidates: [Candidate] = []
  private var balance: Balance
  private var rotation = 0

  init(balance: Balance = .roundRobin) { self.balance = balance }

  /// Whether `Request.client` matters.
  var looksAtClient: Bool { balance == .sourceHash || balance == .consistentHash }

  mutating func adopt(_ draft: BalancerDraft) {
    balance = draft.balance
    candidates = draft.candidates
  }

  /// - Parameter mayTake: whether a candidate has room and kept its place; asked only where the request says that it may be otherwise.
  mutating func pick(_ request: Request, mayTake: (Int32) -> Bool = { _ in true }, load: (Int32) -> Load) -> Int32? {
    func isOut(_ backend: Int32) -> Bool {
      request.tried.contains(backend) || (request.mustAsk && !mayTake(backend))
    }
    return switch balance {
    case .roundRobin: pickInTurn(isOut)
    case .leastConnections: pickLeastLoaded(isOut, load: load)
    case .peakEWMA: pickCheaperOfTwo(request, isOut, load: load)
    case .sourceHash: pickByPlace(request.client, isOut)
    case .consistentHash: pickByRendezvous(request.client, isOut)
    }
  }

  /// nginx's smooth weighted round robin: weights 5, 1, 1 give a a b a c a a, never five in a row.
  private mutating func pickInTurn(_ isOut: (Int32) -> Bool) -> Int32? {
    var best: Int?
    var total: Int64 = 0
    for i in candidates.indices where !isOut(candidates[i].backend) {
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
  private mutating func pickLeastLoaded(_ isOut: (Int32) -> Bool, load: (Int32) -> Load) -> Int32? {
    var best: (index: Int, load: Int64, weight: Int64)?
    for step in candidates.indices {
      let i = (rotation + step) % candidates.count
      guard !isOut(candidates[i].backend) else { continue }
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
