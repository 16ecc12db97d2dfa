import Model
import Testing

@testable import Health

@Suite struct ProbeScheduleTests {
  private static let interval = Duration.milliseconds(300)
  private var random = SeededGenerator(seed: 7)

  private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  /// Members 0 to `count` - 1, in this order.
  private func schedule(of count: Int = 1, slots: Int = 10, interval: Duration = interval) -> ProbeSchedule {
    var schedule = ProbeSchedule(maximumInFlight: slots)
    for number in 0..<count { #expect(schedule.add(interval: interval, now: at(0)) == number) }
    return schedule
  }

  @Test func newMemberIsProbedAtOnce() {
    var schedule = schedule()
    #expect(schedule.nextLook == at(0))
    #expect(schedule.start(now: at(0)) == [0])
    #expect(schedule.nextLook == nil)
    #expect(schedule.start(now: at(10_000)) == [])
  }

  @Test mutating func nextProbeIsAnIntervalAfterTheStartAndNeverLater() throws {
    var schedule = schedule()
    _ = schedule.start(now: at(0))
    schedule.finished(0, using: &random)
    let second = try #require(schedule.nextLook)
    // The first gap also spreads members that came together.
    #expect(second >= at(150) && second <= at(300))
    var start = second
    for _ in 0..<200 {
      #expect(schedule.start(now: start) == [0])
      schedule.finished(0, using: &random)
      let next = try #require(schedule.nextLook)
      #expect(next >= start + .milliseconds(285) && next <= start + .milliseconds(300))
      start = next
    }
  }

  @Test mutating func longProbeDelaysTheNextAndNothingElse() {
    var schedule = schedule()
    _ = schedule.start(now: at(0))
    #expect(schedule.start(now: at(5000)) == [])
    schedule.finished(0, using: &random)
    #expect(schedule.start(now: at(5002)) == [0])
  }

  @Test func membersThatComeTogetherAreSpread() throws {
    var schedule = schedule(of: 1000, slots: 2000)
    #expect(schedule.start(now: at(0)).count == 1)
    #expect(schedule.start(now: at(2)).count == 20)
    #expect(schedule.start(now: at(100)).count == 979)
  }

  /// Groups come one by one, and their members are spread all the same; who comes later does not wait for more than its interval.
  @Test func `the spread goes on from group to group`() throws {
    var schedule = schedule(of: 500, slots: 2000)
    for _ in 0..<500 { _ = schedule.add(interval: .seconds(3600), now: at(10)) }
    #expect(schedule.start(now: at(10)).count == 101)
    #expect(schedule.start(now: at(90)).count == 800)
    let hurried = schedule.add(interval: .milliseconds(5), now: at(90))
    #expect(schedule.start(now: at(95)).contains(hurried))
    _ = schedule.start(now: at(100))
    let late = schedule.add(interval: .seconds(3600), now: at(300))
    #expect(schedule.start(now: at(300)) == [late])
  }

  @Test mutating func `numbers stay small and mean nothing once they are free`() {
    var schedule = schedule(of: 3)
    _ = schedule.start(now: at(10))
    schedule.remove(1)
    schedule.remove(1)
    // Late news of the one that is gone.
    schedule.finished(1, using: &random)
    schedule.probeSoon(1, now: at(11))
    schedule.sessionEnded(1, now: at(11))
    #expect(schedule.nextLook == nil)
    #expect(schedule.add(interval: Self.interval, now: at(20)) == 1)
    #expect(schedule.add(interval: Self.interval, now: at(20)) == 3)
    #expect(schedule.start(now: at(21)) == [1, 3])
  }

  @Test func spreadIsNeverLongerThanAnInterval() {
    var schedule = schedule(of: 1000, slots: 2000, interval: .milliseconds(10))
    #expect(schedule.start(now: at(10)).count == 1000)
  }

  @Test mutating func membersThatCameTogetherDoNotStayTogether() throws {
    var schedule = schedule(of: 100, slots: 200)
    _ = schedule.start(now: at(100))
    for member in 0..<100 { schedule.finished(UInt32(member), using: &random) }
    var largest = 0
    for time in stride(from: Int64(100), through: 400, by: 5) { largest = max(largest, schedule.start(now: at(time)).count) }
    #expect(largest < 20)
  }

  @Test mutating func slotsAreBoundedAndTheLongestOverdueComesFirst() throws {
    var schedule = schedule(of: 6, slots: 2)
    #expect(schedule.start(now: at(10)) == [0, 1])
    #expect(schedule.nextLook == nil)
    #expect(schedule.start(now: at(11)) == [])
    schedule.finished(1, using: &random)
    #expect(try #require(schedule.nextLook) < at(13))
    #expect(schedule.start(now: at(13)) == [2])
    schedule.remove(0)
    schedule.remove(2)
    #expect(schedule.start(now: at(15)) == [3, 4])
    // Removed while it ran: its end frees no slot a second time.
    schedule.finished(0, using: &random)
    #expect(schedule.start(now: at(20)) == [])
  }

  @Test mutating func earlyProbe() throws {
    var schedule = schedule()
    _ = schedule.start(now: at(0))
    // One in flight is answer enough.
    schedule.probeSoon(0, now: at(1))
    schedule.finished(0, using: &random)
    let planned = try #require(schedule.nextLook)
    #expect(planned >= at(150))
    schedule.probeSoon(0, now: at(50))
    #expect(schedule.start(now: at(50)) == [0])
    schedule.finished(0, using: &random)
    // Not closer than the minimum gap, however often it is asked for.
    for time in Int64(50)...60 { schedule.probeSoon(0, now: at(time)) }
    #expect(schedule.start(now: at(69)) == [])
    #expect(schedule.start(now: at(70)) == [0])
    schedule.finished(0, using: &random)
    // Never later than planned.
    let next = try #require(schedule.nextLook)
    schedule.probeSoon(0, now: next + .milliseconds(50))
    #expect(schedule.nextLook == next)
    schedule.probeSoon(99, now: at(80))
    #expect(schedule.nextLook == next)
  }

  /// However many are asked for early, and again and again: whoever is due has its turn in time.
  @Test mutating func `a probe is early until it ends`() throws {
    var schedule = schedule()
    _ = schedule.start(now: at(0))
    #expect(schedule.isProbing(0) && !schedule.isEarly(0))
    // It is in flight as it is.
    schedule.probeSoon(0, now: at(10))
    #expect(!schedule.isEarly(0))
    schedule.finished(0, using: &random)
    #expect(!schedule.isProbing(0))
    schedule.probeSoon(0, now: at(50))
    #expect(schedule.start(now: at(50)) == [0])
    #expect(schedule.isProbing(0) && schedule.isEarly(0))
    schedule.finished(0, using: &random)
    _ = schedule.start(now: try #require(schedule.nextLook))
    #expect(schedule.isProbing(0) && !schedule.isEarly(0))
  }

  @Test mutating func `early probes leave room for those that are planned`() throws {
    var schedule = schedule(of: 10_000, slots: 512, interval: .seconds(3600))
    var now = at(0)
    var late = Duration.zero
    let planned = schedule.add(interval: Self.interval, now: now)
    var due = at(300)
    // A probe takes 2 ms, and every slot is free again at the next look.
    for _ in 0..<2000 {
      now = now + .milliseconds(2)
      for member in stride(from: UInt32(0), to: 10_000, by: 7) { schedule.probeSoon(member, now: now) }
      let started = schedule.start(now: now)
      for member in started { schedule.finished(member, using: &random) }
      if started.contains(planned) {
        late = max(late, now - due)
        due = now + Self.interval
      }
      #expect(started.count <= 512)
    }
    #expect(late < .milliseconds(10))
    #expect(now - due < .milliseconds(10))
  }

  /// 50 µs apart, so that a burst is no stampede; but nobody waits longer than planned.
  @Test mutating func `early probes are spread`() {
    var schedule = schedule(of: 1000, slots: 2000, interval: .seconds(10))
    _ = schedule.start(now: at(1000))
    for member in UInt32(0)..<1000 { schedule.finished(member, using: &random) }
    for member in UInt32(0)..<1000 { schedule.probeSoon(member, now: at(1100)) }
    #expect(schedule.start(now: at(1100)).count == 1)
    #expect(schedule.start(now: at(1110)).count == 200)
    #expect(schedule.start(now: at(1150)).count == 799)
  }

  @Test mutating func `a member whose check changes is new again`() throws {
    var schedule = schedule(of: 2)
    _ = schedule.start(now: at(10))
    schedule.change(0, interval: .seconds(3600), now: at(20))
    // The end of the probe that was dropped.
    schedule.finished(0, using: &random)
    #expect(schedule.nextLook == at(20))
    #expect(schedule.start(now: at(20)) == [0])
    schedule.finished(0, using: &random)
    #expect(try #require(schedule.nextLook) > at(1_000_000))
  }

  @Test mutating func endOfAKeptSessionReconnectsAtOnceButOnceAnInterval() {
    var schedule = schedule()
    _ = schedule.start(now: at(0))
    schedule.finished(0, using: &random)
    schedule.sessionEnded(0, now: at(1))
    #expect(schedule.start(now: at(2)) == [0])
    schedule.finished(0, using: &random)
    schedule.sessionEnded(0, now: at(3))
    #expect(schedule.start(now: at(100)) == [])
    #expect(schedule.start(now: at(302)) == [0])
    schedule.finished(0, using: &random)
    schedule.sessionEnded(0, now: at(303))
    #expect(schedule.start(now: at(304)) == [0])
  }

  /// A refusal is confirmed at once, but only the first: what goes on refusing is not asked more often than anybody else.
  @Test mutating func `a first abrupt failure is confirmed without the minimum gap`() {
    for (kind, gap) in [(ProbeFailure.Kind.refused, 2), (.badResponse, 20), (.local, 20)] as [(ProbeFailure.Kind, Int64)] {
      var schedule = schedule()
      _ = schedule.start(now: at(0))
      schedule.finished(0, using: &random)
      schedule.learn(.failed(ProbeFailure(kind, "")), of: 0)
      schedule.probeSoon(0, now: at(1))
      #expect(schedule.nextLook == at(gap), "\(kind)")
      #expect(schedule.start(now: at(gap)) == [0])
      schedule.finished(0, using: &random)
      schedule.learn(.failed(ProbeFailure(.reset, "")), of: 0)
      if kind == .refused {
        schedule.probeSoon(0, now: at(3))
        #expect(schedule.nextLook == at(22))
      }
    }
  }

  @Test func `nobody is late before the first pass, nor where a companion could not decide`() {
    var schedule = schedule()
    #expect(schedule.patience(with: 0, unhealthyThreshold: 2) == nil)
    schedule.learn(.passed(latency: .milliseconds(1), role: nil), of: 0)
    #expect(schedule.patience(with: 0, unhealthyThreshold: 1) == nil)
    #expect(schedule.patience(with: 0, unhealthyThreshold: 2) == UsualLatency.leastPatience)
    schedule.learn(.failed(ProbeFailure(.local, "no descriptors")), of: 0)
    #expect(schedule.patience(with: 0, unhealthyThreshold: 2) == UsualLatency.leastPatience)
    schedule.learn(.failed(ProbeFailure(.timedOut, "")), of: 0)
    #expect(schedule.patience(with: 0, unhealthyThreshold: 2) == nil)
    #expect(schedule.patience(with: 0, unhealthyThreshold: 3) == UsualLatency.leastPatience)
    for _ in 0..<1000 { schedule.learn(.failed(ProbeFailure(.timedOut, "")), of: 0) }
    #expect(schedule.patience(with: 0, unhealthyThreshold: 3) == nil)
    #expect(schedule.patience(with: 99, unhealthyThreshold: 3) == nil)
    // Another check is another question: what is known of the answers to the old one is forgotten.
    schedule.learn(.passed(latency: .milliseconds(1), role: nil), of: 0)
    schedule.change(0, interval: Self.interval, now: at(1))
    #expect(schedule.patience(with: 0, unhealthyThreshold: 2) == nil)
  }

  @Test mutating func `companions take slots, and only what others do not need`() {
    var schedule = schedule(of: 10, slots: 8)
    let early = schedule.startCompanion(of: 0)
    #expect(!early)
    #expect(schedule.start(now: at(0)) == [0])
    let (first, second) = (schedule.startCompanion(of: 0), schedule.startCompanion(of: 0))
    #expect(first && !second)
    #expect(schedule.start(now: at(0) + .microseconds(100)) == [1])
    let third = schedule.startCompanion(of: 1)
    #expect(third)
    // Half of the slots are taken now.
    #expect(schedule.start(now: at(10)) == [2, 3, 4, 5])
    let fourth = schedule.startCompanion(of: 2)
    #expect(!fourth)
    // A companion may outlast its probe, and keeps its slot.
    schedule.finished(0, using: &random)
    #expect(schedule.start(now: at(20)) == [6])
    schedule.companionFinished(of: 0)
    schedule.companionFinished(of: 0)
    #expect(schedule.start(now: at(30)) == [7])
    // A member that is removed leaves both of its slots.
    schedule.remove(1)
    schedule.companionFinished(of: 1)
    #expect(schedule.start(now: at(40)) == [8, 9])
    #expect(schedule.nextLook == nil)
  }

  @Test func looksOfALargePlanShareWhatHappensClosely() {
    var schedule = ProbeSchedule(maximumInFlight: 100)
    for _ in 1..<ProbeSchedule.fewMembers { _ = schedule.add(interval: Self.interval, now: at(0)) }
    _ = schedule.start(now: at(0))
    _ = schedule.start(now: at(20))
    _ = schedule.add(interval: Self.interval, now: at(21))
    #expect(schedule.nextLook == at(21))
    _ = schedule.add(interval: Self.interval, now: at(21))
    #expect(schedule.nextLook == at(22))
  }

  @Test mutating func hugeIntervals() throws {
    var schedule = schedule(interval: .seconds(Int64.max))
    _ = schedule.start(now: at(0))
    schedule.finished(0, using: &random)
    let next = try #require(schedule.nextLook)
    #expect(next > at(1_000_000_000))
  }

  /// Random events against what must always hold.
  @Test(arguments: 0..<20) mutating func randomEvents(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var schedule = ProbeSchedule(maximumInFlight: 6)
    var known: Set<UInt32> = []
    var running: Set<UInt32> = []
    var companions: Set<UInt32> = []
    var now = at(0)
    for _ in 0..<5000 {
      now = now + .microseconds(Int64.random(in: 0...20_000, using: &random))
      let member = UInt32.random(in: 0..<12, using: &random)
      switch Int.random(in: 0..<13, using: &random) {
      case 0 where known.count < 12:
        let new = schedule.add(interval: .milliseconds(Int64.random(in: 1...400, using: &random)), now: now)
        #expect(new < 12 && known.insert(new).inserted)
      case 1:
        schedule.remove(member)
        known.remove(member)
        running.remove(member)
        companions.remove(member)
      case 2: schedule.probeSoon(member, now: now)
      case 3: schedule.sessionEnded(member, now: now)
      case 4, 5, 6:
        schedule.finished(member, using: &self.random)
        running.remove(member)
      case 7 where schedule.startCompanion(of: member):
        #expect(running.contains(member) && companions.insert(member).inserted)
      case 8:
        schedule.companionFinished(of: member)
        companions.remove(member)
      case 9: schedule.learn(.failed(ProbeFailure(.refused, "")), of: member)
      default:
        for started in schedule.start(now: now) {
          #expect(known.contains(started) && running.insert(started).inserted)
        }
      }
      let inFlight = running.count + companions.count
      #expect(inFlight <= 6)
      // Whoever is known is running, or will be looked at.
      #expect(inFlight == 6 || known.subtracting(running).isEmpty || schedule.nextLook != nil)
    }
  }
}
