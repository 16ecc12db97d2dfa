import Model
import Testing

@testable import Proxy

/// A balancer and what a test says of its backends: number 0 is `b0`, and so on.
private struct Bench {
  var balancer = Balancer()
  let balance: Balance
  var loads: [Int32: Balancer.Load] = [:]
  var generator = SeededGenerator(seed: 11)
  var now = Instant.zero

  init(_ balance: Balance, _ weights: [Int] = []) {
    self.balance = balance
    _ = set(weights)
  }

  mutating func set(_ weights: [Int], shares: [UInt8] = []) -> Bool {
    set(weights.indices.map { (Int32($0), weights[$0], $0 < shares.count ? shares[$0] : 100) })
  }

  mutating func set(_ members: [(number: Int32, weight: Int, share: UInt8)]) -> Bool {
    var draft = BalancerDraft(balance: balance, sizedFor: members.count, remembering: balancer.candidates.count)
    for candidate in balancer.candidates { draft.remember(candidate) }
    for member in members {
      draft.add(member.number, BackendID("b\(member.number)"), weight: UInt16(clamping: member.weight), share: member.share)
    }
    while draft.weighNext() {}
    balancer.adopt(draft)
    return draft.someoneAppeared
  }

  mutating func pick(_ client: UInt64 = 0, tried: TriedBackends = TriedBackends()) -> Int32? {
    let request = Balancer.Request(
      tried: tried, client: StableHash.of(.v4(UInt32(truncatingIfNeeded: client))), random: generator.next(), now: now)
    return balancer.pick(request, load: { loads[$0] ?? Balancer.Load() })
  }

  mutating func picks(_ count: Int) -> [Int32] { (0..<count).compactMap { pick(UInt64($0)) } }

  /// How often each was picked, by number.
  mutating func tally(_ count: Int) -> [Int32: Int] { picks(count).reduce(into: [:]) { $0[$1, default: 0] += 1 } }
}

@Suite struct BalancerTests {
  private func sequence(_ weights: [Int], _ count: Int) -> [Int32] {
    var bench = Bench(.roundRobin, weights)
    return bench.picks(count)
  }

  @Test func roundRobinIsSmooth() {
    #expect(sequence([1, 1, 1], 7) == [0, 1, 2, 0, 1, 2, 0])
    #expect(sequence([5, 1, 1], 7) == [0, 0, 1, 0, 2, 0, 0])
    #expect(sequence([2, 0, 1], 6) == [0, 2, 0, 0, 2, 0])
    #expect(sequence([0, 0], 4) == [0, 1, 0, 1], "weights that are all zero say nothing")
    #expect(sequence([], 1) == [])
    #expect(sequence([.max, .max], 4) == [0, 1, 0, 1])
    #expect(sequence([-5, 1], 2) == [1, 1])
  }

  @Test(arguments: Balance.allCases) func `tried backends are skipped`(balance: Balance) {
    var bench = Bench(balance, [1, 1, 1])
    var tried = TriedBackends()
    var seen: Set<Int32> = []
    for _ in 0..<3 {
      let picked = bench.pick(7, tried: tried) ?? -1
      #expect(seen.insert(picked).inserted && (0...2).contains(picked))
      tried.insert(picked)
    }
    #expect(bench.pick(7, tried: tried) == nil)
  }

  @Test func creditsSurviveANewTable() {
    var bench = Bench(.roundRobin)
    func set(_ weights: [Int]) -> Bool { bench.set(weights) }
    #expect(set([1, 1]))
    #expect(bench.pick() == 0)
    #expect(set([1, 1, 1]))
    #expect(bench.pick() == 1)
    #expect(!set([1, 1]), "one left, none appeared")
    #expect(!set([1, 1]))
  }

  @Test func leastConnectionsCountsByWeightAndRotatesTies() {
    var bench = Bench(.leastConnections, [1, 2, 1])
    func load(_ counts: [Int]) {
      for (number, count) in counts.enumerated() { bench.loads[Int32(number)] = Balancer.Load(sessions: count) }
    }
    load([4, 8, 5])
    #expect(bench.pick() == 1, "9 by 2 is less than 5 by 1")
    load([1, 9, 1])
    #expect(bench.picks(4) == [2, 0, 2, 0])
  }

  // MARK: Shares

  @Test(arguments: [Balance.roundRobin, .peakEWMA, .sourceHash, .consistentHash])
  func `a share of 0 takes nothing unless all have it`(balance: Balance) {
    var bench = Bench(balance)
    _ = bench.set([5, 1, 3], shares: [0, 100, 100])
    #expect(Set(bench.picks(2000)) == [1, 2])
    _ = bench.set([5, 1, 0], shares: [0, 0, 0])
    #expect(Set(bench.picks(2000)) == [0, 1], "shares that are all 0 say nothing, weights still do")
    _ = bench.set([5, 0, 0], shares: [0, 100, 100])
    #expect(Set(bench.picks(200)) == [0], "nobody has a part: the weights decide")
  }

  /// 0.1 is four to six standard deviations of these counts.
  @Test(arguments: [Balance.roundRobin, .sourceHash, .consistentHash]) func `connections follow weight times share`(
    balance: Balance
  ) {
    var bench = Bench(balance)
    _ = bench.set([100, 200, 400, 65_535], shares: [100, 100, 50, 1])
    let tally = bench.tally(20_000)
    let weights = [100.0, 200, 200, 655.35]
    for (number, weight) in weights.enumerated() {
      let expected = 20_000 * weight / weights.reduce(0, +)
      #expect(abs(Double(tally[Int32(number), default: 0]) / expected - 1) < 0.1, "\(tally)")
    }
  }

  @Test func `a share that grows step by step resets nobody's turn`() {
    var bench = Bench(.roundRobin, [1, 1, 1])
    var tally: [Int32: Int] = [:]
    for step in 0..<1000 {
      _ = bench.set([1, 1, 1], shares: [100, 100, UInt8(1 + step / 100)])
      if let picked = bench.pick() { tally[picked, default: 0] += 1 }
    }
    // With credits that begin anew each time the first would take all.
    #expect(abs(tally[0, default: 0] - tally[1, default: 0]) <= 10, "\(tally)")
    #expect((20...35).contains(tally[2, default: 0]), "a little more than a hundredth to a tenth of one in two: \(tally)")
  }

  @Test func `a group that became light is not bound by its heavy past`() {
    var bench = Bench(.roundRobin, [65_535, 65_535, 65_534])
    _ = bench.picks(2)
    _ = bench.set([1, 1, 1])
    for _ in 0..<5 { #expect(Set(bench.picks(3)) == [0, 1, 2]) }
  }

  @Test func `the heaviest weights do not overflow`() {
    for balance in Balance.allCases {
      var bench = Bench(balance, [Int](repeating: 65_535, count: 1000))
      for number in 0..<1000 { bench.loads[Int32(number)] = Balancer.Load(sessions: 1 << 17) }
      #expect(bench.picks(3000).count == 3000)
    }
  }

  // MARK: Hashes

  @Test(arguments: [Balance.sourceHash, .consistentHash]) func `a client stays where it is`(balance: Balance) {
    var bench = Bench(balance, [3, 1, 2])
    var other = Bench(balance, [3, 1, 2])
    other.generator = SeededGenerator(seed: 99)
    for client in 0..<5000 as Range<UInt64> { #expect(bench.pick(client) == other.pick(client)) }
  }

  /// Pinned, because hosts of different versions must agree.
  @Test func `hashes are those of every other host`() {
    #expect(StableHash.mix(0) == 0xE220_A839_7B1D_CDAF, "the first output of SplitMix64 with seed 0")
    #expect(StableHash.of(BackendID("")) == StableHash.mix(0xCBF2_9CE4_8422_2325))
    #expect(StableHash.of(BackendID("a")) == StableHash.mix(0xAF63_DC4C_8601_EC8C), "FNV-1a of one letter")
    #expect(StableHash.of(.v4(0x7F00_0001)) == StableHash.of(.v6(0xFFFF_7F00_0001)))
    #expect(StableHash.of(.v6(1)) != StableHash.of(.v6(0x1_0000_0000_0000_0000)))
    var bench = Bench(.consistentHash, [1, 1, 1, 1, 1])
    #expect(bench.picks(12) == [4, 1, 0, 4, 1, 0, 4, 1, 0, 0, 2, 0])
  }

  @Test func `who goes moves only its own clients, and who comes takes its share from all`() {
    for count in [2, 5, 16] {
      let clients = 0..<8000 as Range<UInt64>
      let members = (0...count).map { (number: Int32($0), weight: 1, share: UInt8(100)) }
      var bench = Bench(.consistentHash)
      _ = bench.set(Array(members.dropLast()))
      let before = clients.map { bench.pick($0) ?? -1 }
      for gone in 0..<count {
        // The order of a table is no reason to move.
        _ = bench.set(members.dropLast().filter { $0.number != gone }.reversed())
        for (client, old) in zip(clients, before) where old != gone { #expect(bench.pick(client) == old) }
      }
      _ = bench.set(members)
      let after = clients.map { bench.pick($0) ?? -1 }
      let moved = zip(before, after).filter { $0 != $1 }
      #expect(moved.allSatisfy { $1 == count }, "nobody moves between those who stayed")
      let fair = Double(clients.count) / Double(count + 1)
      #expect(abs(Double(moved.count) / fair - 1) < 0.15, "\(moved.count) of \(fair)")
    }
  }

  @Test func `a weight that changes moves clients to or from that member only`() {
    let clients = 0..<8000 as Range<UInt64>
    var bench = Bench(.consistentHash, [100, 100, 100])
    let before = clients.map { bench.pick($0) }
    _ = bench.set([100, 100, 50])
    for (client, old) in zip(clients, before) {
      let new = bench.pick(client)
      #expect(new == old || old == 2)
    }
  }

  // MARK: Latency

  private func latency(_ milliseconds: Int, at now: Instant) -> LatencyEstimate {
    var estimate = LatencyEstimate()
    estimate.observe(.milliseconds(milliseconds), now: now)
    return estimate
  }

  @Test func `peak EWMA prefers the fast one by far, and tries the slow one again`() {
    var bench = Bench(.peakEWMA, [1, 1])
    bench.loads = [0: Balancer.Load(latency: latency(1, at: bench.now)), 1: Balancer.Load(latency: latency(100, at: bench.now))]
    var slow = 0
    for step in 0..<1000 {
      bench.now = Instant(nanoseconds: Int64(step) * 10_000_000)
      if bench.pick() == 1 { slow += 1 }
      bench.loads[0]?.latency.observe(.milliseconds(1), now: bench.now)
    }
    #expect(slow == 0, "ten seconds are not enough to forget a hundredfold")
    var waited = Duration.zero
    while bench.pick() != 1, waited < .seconds(120) {
      waited += .seconds(1)
      bench.now = bench.now + .seconds(1)
      bench.loads[0]?.latency.observe(.milliseconds(1), now: bench.now)
    }
    #expect((Duration.seconds(20)...(.seconds(60))).contains(waited), "\(waited)")
    // Still slow: one sample, and it is left alone again.
    bench.loads[1]?.latency.observe(.milliseconds(100), now: bench.now)
    #expect(Set(bench.picks(100)) == [0])
  }

  @Test func `peak EWMA counts sessions, weight and share`() {
    var bench = Bench(.peakEWMA)
    _ = bench.set([2, 1], shares: [100, 50])
    let same = latency(10, at: .zero)
    bench.loads = [0: Balancer.Load(sessions: 3, latency: same), 1: Balancer.Load(sessions: 1, latency: same)]
    #expect(Set(bench.picks(50)) == [0], "4 by 200 is less than 2 by 50")
    bench.loads[0]?.sessions = 8
    #expect(Set(bench.picks(50)) == [1], "9 by 200 is more")
  }

  @Test func `a backend that never answered is tried by one and then costs much`() {
    var bench = Bench(.peakEWMA, [1, 1])
    bench.loads = [0: Balancer.Load(latency: latency(1, at: .zero)), 1: Balancer.Load()]
    #expect(bench.pick() == 1)
    bench.loads[1]?.sessions = 1
    #expect(Set(bench.picks(100)) == [0])
  }

  @Test func `of many, two are drawn evenly`() {
    var bench = Bench(.peakEWMA, [Int](repeating: 1, count: 10))
    for number in 0..<10 as Range<Int32> { bench.loads[number] = Balancer.Load(latency: latency(5, at: .zero)) }
    let tally = bench.tally(10_000)
    // Ties go to the first of the two: each is as likely there as any.
    for number in 0..<10 as Range<Int32> { #expect((850...1150).contains(tally[number, default: 0]), "\(tally)") }
    // The slowest of ten is never the cheaper of two.
    bench.loads[4] = Balancer.Load(latency: latency(6, at: .zero))
    #expect(!bench.picks(1000).contains(4))
  }

  @Test func `a peak counts at once and a fast sample only with time`() {
    var estimate = latency(1, at: .zero)
    func cost(at seconds: Int) -> Double { estimate.cost(sessions: 0, weight: 1, now: .zero + .seconds(seconds)) / 1e6 }
    estimate.observe(.milliseconds(50), now: .zero)
    #expect(cost(at: 0) == 50)
    estimate.observe(.milliseconds(1), now: .zero)
    #expect(cost(at: 0) == 50)
    estimate.observe(.milliseconds(1), now: .zero + .seconds(10))
    #expect((18.5...19.5).contains(cost(at: 10)), "a third of the peak and two thirds of the sample")
    estimate.observe(.zero - .seconds(5), now: .zero + .seconds(3))
    #expect((18.5...19.5).contains(cost(at: 3)), "a clock that goes back changes nothing")
  }
}
