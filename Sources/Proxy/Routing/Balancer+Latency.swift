/// Peak EWMA.
extension Balancer {
  /// Two at random and the cheaper of them: nearly as good as the cheapest of all, and without the stampede to it while every worker and
  /// host believes the same.
  func pickCheaperOfTwo(_ request: Request, _ isOut: (Int32) -> Bool, load: (Int32) -> Load) -> Int32? {
    let isAnybodyOut = request.mustAsk || request.tried.count > 0
    let count = isAnybodyOut ? candidates.count { !isOut($0.backend) } : candidates.count
    guard count > 0 else { return nil }
    let first = Self.number(below: count, from: request.random >> 32)
    let one = candidate(first, of: count, isOut)
    guard count > 1 else { return one.backend }
    // Any of the others: one place further for those from `first` on.
    var second = Self.number(below: count - 1, from: request.random & 0xFFFF_FFFF)
    if second >= first { second += 1 }
    let other = candidate(second, of: count, isOut)
    func cost(_ candidate: Candidate) -> Double {
      let load = load(candidate.backend)
      return load.latency.cost(sessions: load.sessions, weight: candidate.weight, now: request.now)
    }
    return cost(other) < cost(one) ? other.backend : one.backend
  }

  /// The candidate at a place among the `count` who are not out.
  private func candidate(_ place: Int, of count: Int, _ isOut: (Int32) -> Bool) -> Candidate {
    guard count < candidates.count else { return candidates[place] }
    var left = place
    for candidate in candidates where !isOut(candidate.backend) {
      if left == 0 { return candidate }
      left -= 1
    }
    return candidates[place]
  }

  /// 32 random bits as a number below `count`. Lists are short enough for the bias of a multiplication not to show.
  private static func number(below count: Int, from random: UInt64) -> Int { Int((random &* UInt64(count)) >> 32) }
}
