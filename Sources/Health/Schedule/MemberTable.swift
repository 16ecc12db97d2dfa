import Model

/// All members by their number in the schedule: whom to ask, how, and what came of it. Pure.
///
/// There may be tens of thousands, nearly all of them alike: a member is one small value in a slab, what it shares with others
/// is kept once, and the histogram of its latencies exists from its first pass on.
struct MemberTable: Sendable {
  typealias Number = ProbeSchedule.Number

  /// What is worth a log line when it changes.
  enum Verdict: Equatable, Sendable {
    case passed(Role?)
    case failed(ProbeFailure.Kind)

    init(_ outcome: ProbeOutcome) {
      switch outcome {
      case .passed(_, let role, _): self = .passed(role)
      case .failed(let failure): self = .failed(failure.kind)
      }
    }
  }

  // The order of the fields leaves no holes: 64 bytes.
  private struct Member {
    let backend: BackendID
    var address: SocketAddress
    var verdict: Verdict?
    let group: UInt32
    var check: UInt32
    /// Counters start again at zero after thousands of millions, as those who read metrics expect of counters.
    var failed: UInt32 = 0
    /// One more than its place in `latencies`; zero before the first pass.
    var latencies: UInt32 = 0
    /// One more than the number of the group's next member; zero for the last.
    var next: UInt32
  }

  private var members = Slab<Member?>()
  private var groups = Interned<GroupName>()
  /// By the group's number: one more than the number of its first member.
  private var firsts = Slab<UInt32>()
  private var checks = Interned<HealthCheck>()
  private var latencies = Slab<LatencyCounts>()
  private var freeLatencies: [UInt32] = []

  /// Groups are small: their members are found by walking.
  func numbers(of group: GroupName) -> [Number] {
    var numbers: [Number] = []
    var next = groups.number(of: group).map { firsts[Int($0)] } ?? 0
    while next > 0, let member = member(next - 1) {
      numbers.append(next - 1)
      next = member.next
    }
    return numbers
  }

  func number(of key: MemberKey) -> Number? {
    var next = groups.number(of: key.group).map { firsts[Int($0)] } ?? 0
    while next > 0, let member = member(next - 1) {
      if member.backend == key.backend { return next - 1 }
      next = member.next
    }
    return nil
  }

  func key(_ number: Number) -> MemberKey? { member(number).flatMap(key) }

  func target(_ number: Number) -> ProbeTarget? {
    guard let member = member(number), let key = key(member), let check = checks.value(member.check) else { return nil }
    return ProbeTarget(member: key, address: member.address, check: check)
  }

  /// What `target` says but for whom it is about.
  func question(_ number: Number) -> (address: SocketAddress, check: HealthCheck)? {
    guard let member = member(number), let check = checks.value(member.check) else { return nil }
    return (member.address, check)
  }

  mutating func add(_ target: ProbeTarget, as number: Number) {
    let group = groups.take(target.member.group)
    while firsts.count <= Int(group) { firsts.append(0) }
    let member = Member(
      backend: target.member.backend, address: target.address, group: group, check: checks.take(target.check),
      next: firsts[Int(group)])
    firsts[Int(group)] = number + 1
    while members.count <= Int(number) { members.append(nil) }
    members[Int(number)] = member
  }

  /// The member is asked in another way from now on. What is counted goes on.
  mutating func change(_ number: Number, to target: ProbeTarget) {
    guard let old = member(number)?.check else { return }
    members[Int(number)]?.check = checks.take(target.check)
    members[Int(number)]?.address = target.address
    members[Int(number)]?.verdict = nil
    checks.drop(old)
  }

  mutating func remove(_ number: Number) {
    guard let member = member(number) else { return }
    unlink(number, member)
    members[Int(number)] = nil
    checks.drop(member.check)
    groups.drop(member.group)
    if member.latencies > 0 {
      latencies[Int(member.latencies - 1)] = LatencyCounts()
      freeLatencies.append(member.latencies - 1)
    }
  }

  /// Whether the verdict is another one than before.
  mutating func record(_ outcome: ProbeOutcome, of number: Number) -> Bool {
    guard let member = member(number) else { return false }
    switch outcome {
    case .passed(let latency, _, _): latencies[placeOfLatencies(number, member)].record(latency)
    case .failed: members[Int(number)]?.failed &+= 1
    }
    let verdict = Verdict(outcome)
    guard member.verdict != verdict else { return false }
    members[Int(number)]?.verdict = verdict
    return true
  }

  /// Of all members that have been probed.
  var statistics: [MemberKey: ProbeStatistics] {
    var statistics: [MemberKey: ProbeStatistics] = [:]
    for number in 0..<members.count {
      guard let member = members[number], let key = key(member), member.failed > 0 || member.latencies > 0 else { continue }
      let latencies = member.latencies > 0 ? latencies[Int(member.latencies - 1)] : LatencyCounts()
      statistics[key] = ProbeStatistics(failed: Int(member.failed), latencies: LatencyHistogram(latencies))
    }
    return statistics
  }

  private func member(_ number: Number) -> Member? { Int(number) < members.count ? members[Int(number)] : nil }

  private func key(_ member: Member) -> MemberKey? {
    groups.value(member.group).map { MemberKey(group: $0, backend: member.backend) }
  }

  private mutating func unlink(_ number: Number, _ member: Member) {
    guard firsts[Int(member.group)] != number + 1 else {
      firsts[Int(member.group)] = member.next
      return
    }
    var place = firsts[Int(member.group)]
    while place > 0, let other = self.member(place - 1) {
      if other.next == number + 1 {
        members[Int(place - 1)]?.next = member.next
        return
      }
      place = other.next
    }
  }

  private mutating func placeOfLatencies(_ number: Number, _ member: Member) -> Int {
    if member.latencies > 0 { return Int(member.latencies - 1) }
    let place: UInt32
    if let reused = freeLatencies.popLast() {
      place = reused
    } else {
      place = UInt32(latencies.count)
      latencies.append(LatencyCounts())
    }
    members[Int(number)]?.latencies = place + 1
    return Int(place)
  }
}
