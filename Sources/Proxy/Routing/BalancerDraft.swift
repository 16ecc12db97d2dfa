import Model

/// The next candidates of a balancer, put together one by one, so that a route of ten thousand members never stops a worker for all of them.
///
/// First the candidates there are now are remembered, then who serves is added, then all are weighed: a weight depends on the others.
/// The balancer serves as it is until it takes the draft over, which costs nothing whatever its size.
struct BalancerDraft {
  let balance: Balance
  /// Not weighed yet from `weighed` on: there `weight` is the member's own and `credit` its share.
  private(set) var candidates: [Balancer.Candidate] = []
  /// Somebody is a candidate who was not.
  private(set) var someoneAppeared = false

  /// Of those that are candidates now, by number. Credits survive for those who stay, or a group whose table changes often, as during a
  /// slow start, would send everything to its first member. What is picked until the draft is taken over is not in them: a turn or two.
  private var credits: [Int32: Int64] = [:]
  private var oldWeight: Int64 = 0
  private var weighing = Weighing()
  private var weighed = 0
  private var kept = 0

  init(balance: Balance, sizedFor count: Int, remembering oldCount: Int) {
    self.balance = balance
    candidates.reserveCapacity(count)
    credits.reserveCapacity(oldCount)
  }

  mutating func remember(_ candidate: Balancer.Candidate) {
    credits[candidate.backend] = candidate.credit
    oldWeight += Int64(candidate.weight)
  }

  mutating func add(_ backend: Int32, _ name: BackendID, weight: UInt16, share: UInt8) {
    weighing.note(weight: Int64(weight), share: Int64(share))
    candidates.append(
      Balancer.Candidate(
        backend: backend, weight: Int32(weight), identity: balance == .consistentHash ? StableHash.of(name) : 0,
        credit: Int64(share)))
  }

  /// Weighs one more. False when all are: whoever has a part of 0 is left out then.
  mutating func weighNext() -> Bool {
    guard weighed < candidates.count else {
      candidates.removeLast(candidates.count - kept)
      weighed = kept
      return false
    }
    var candidate = candidates[weighed]
    weighed += 1
    candidate.weight = weighing.weight(candidate.weight, share: candidate.credit)
    guard candidate.weight > 0 else { return true }
    let credit = credits[candidate.backend]
    if credit == nil { someoneAppeared = true }
    candidate.credit = CreditScale(from: oldWeight, to: weighing.total).apply(to: credit ?? 0)
    candidates[kept] = candidate
    kept += 1
    return true
  }
}

/// What weights and shares come to. Nobody with a part of 0 takes anything, unless all have it: then the shares say nothing, and if the
/// weights are all 0 too, neither do they.
private struct Weighing {
  private var byShare: Int64 = 0
  private var byWeight: Int64 = 0
  private var count: Int64 = 0

  mutating func note(weight: Int64, share: Int64) {
    byShare += weight * share
    byWeight += weight
    count += 1
  }

  /// Of all candidates together.
  var total: Int64 { byShare > 0 ? byShare : byWeight > 0 ? byWeight : count }

  func weight(_ weight: Int32, share: Int64) -> Int32 {
    if byShare > 0 { return weight * Int32(share) }
    return byWeight > 0 ? weight : 1
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
