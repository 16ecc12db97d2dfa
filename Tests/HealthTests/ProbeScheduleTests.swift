import Model
import Testing

@testable import Health

@Suite struct ProbeScheduleTests {
  private static let interval = Duration.milliseconds(300)
  private var random = SeededGenerator(seed: 7)

  private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  private func schedule(of members: [MemberKey], slots: Int = 10, interval: Duration = interval) -> ProbeSchedule {
    var schedule = ProbeSchedule(maximumInFlight: slots)
    schedule.add(members.map { ($0, interval) }, now: at(0))
    return schedule
  }

  @Test func newMemberIsProbedAtOnce() {
    var schedule = schedule(of: [.test])
    #expect(schedule.nextLook == at(0))
    #expect(schedule.start(now: at(0)) == [.test])
    #expect(schedule.nextLook == nil)
    #expect(schedule.start(now: at(10_000)) == [])
  }

  @Test mutating func nextProbeIsAnIntervalAfterTheStartAndNeverLater() throws {
    var schedule = schedule(of: [.test])
    _ = schedule.start(now: at(0))
    schedule.finished(.test, using: &random)
    let second = try #require(schedule.nextLook)
    // The first gap also spreads members that came together.
    #expect(second >= at(150) && second <= at(300))
    var start = second
    for _ in 0..<200 {
      #expect(schedule.start(now: start) == [.test])
      schedule.finished(.test, using: &random)
      let next = try #require(schedule.nextLook)
      #expect(next >= start + .milliseconds(285) && next <= start + .milliseconds(300))
      start = next
    }
  }

  @Test mutating func longProbeDelaysTheNextAndNothingElse() {
    var schedule = schedule(of: [.test])
    _ = schedule.start(now: at(0))
    #expect(schedule.start(now: at(5000)) == [])
    schedule.finished(.test, using: &random)
    #expect(schedule.start(now: at(5002)) == [.test])
  }

  @Test func membersThatComeTogetherAreSpread() throws {
    let members = (0..<1000).map { MemberKey.test($0) }
    var schedule = schedule(of: members, slots: 2000)
    #expect(schedule.start(now: at(0)).count == 1)
    #expect(schedule.start(now: at(2)).count == 20)
    #expect(schedule.start(now: at(100)).count == 979)
  }

  @Test func spreadIsNeverLongerThanAnInterval() {
    let members = (0..<1000).map { MemberKey.test($0) }
    var schedule = schedule(of: members, slots: 2000, interval: .milliseconds(10))
    #expect(schedule.start(now: at(10)).count == 1000)
  }

  @Test mutating func membersThatCameTogetherDoNotStayTogether() throws {
    let members = (0..<100).map { MemberKey.test($0) }
    var schedule = schedule(of: members, slots: 200)
    _ = schedule.start(now: at(100))
    for member in members { schedule.finished(member, using: &random) }
    var largest = 0
    for time in stride(from: Int64(100), through: 400, by: 5) { largest = max(largest, schedule.start(now: at(time)).count) }
    #expect(largest < 20)
  }

  @Test mutating func slotsAreBoundedAndTheLongestOverdueComesFirst() {
    let members = (0..<6).map { MemberKey.test($0) }
    var schedule = schedule(of: members, slots: 2)
    #expect(schedule.start(now: at(10)) == [members[0], members[1]])
    #expect(schedule.nextLook == nil)
    #expect(schedule.start(now: at(11)) == [])
    schedule.finished(members[1], using: &random)
    #expect(schedule.nextLook == at(13))
    #expect(schedule.start(now: at(13)) == [members[2]])
    schedule.remove(members[0])
    schedule.remove(members[2])
    #expect(schedule.start(now: at(15)) == [members[3], members[4]])
    // Removed while it ran: its end frees no slot a second time.
    schedule.finished(members[0], using: &random)
    #expect(schedule.start(now: at(20)) == [])
  }

  @Test mutating func earlyProbe() throws {
    var schedule = schedule(of: [.test])
    _ = schedule.start(now: at(0))
    // One in flight is answer enough.
    schedule.probeSoon(.test, now: at(1))
    schedule.finished(.test, using: &random)
    let planned = try #require(schedule.nextLook)
    #expect(planned >= at(150))
    schedule.probeSoon(.test, now: at(50))
    #expect(schedule.start(now: at(50)) == [.test])
    schedule.finished(.test, using: &random)
    // Not closer than the minimum gap, however often it is asked for.
    for time in Int64(50)...60 { schedule.probeSoon(.test, now: at(time)) }
    #expect(schedule.start(now: at(69)) == [])
    #expect(schedule.start(now: at(70)) == [.test])
    schedule.finished(.test, using: &random)
    // Never later than planned.
    let next = try #require(schedule.nextLook)
    schedule.probeSoon(.test, now: next + .milliseconds(50))
    #expect(schedule.nextLook == next)
    schedule.probeSoon(.test(99), now: at(80))
    #expect(schedule.nextLook == next)
  }

  @Test mutating func endOfAKeptSessionReconnectsAtOnceButOnceAnInterval() {
    var schedule = schedule(of: [.test])
    _ = schedule.start(now: at(0))
    schedule.finished(.test, using: &random)
    schedule.sessionEnded(.test, now: at(1))
    #expect(schedule.start(now: at(2)) == [.test])
    schedule.finished(.test, using: &random)
    schedule.sessionEnded(.test, now: at(3))
    #expect(schedule.start(now: at(100)) == [])
    #expect(schedule.start(now: at(302)) == [.test])
    schedule.finished(.test, using: &random)
    schedule.sessionEnded(.test, now: at(303))
    #expect(schedule.start(now: at(304)) == [.test])
  }

  @Test func looksShareWhatHappensClosely() {
    var schedule = schedule(of: [.test(1)])
    _ = schedule.start(now: at(0))
    schedule.add([(.test(2), Self.interval)], now: at(1))
    #expect(schedule.nextLook == at(2))
  }

  @Test mutating func hugeIntervals() throws {
    var schedule = schedule(of: [.test], interval: .seconds(Int64.max))
    _ = schedule.start(now: at(0))
    schedule.finished(.test, using: &random)
    let next = try #require(schedule.nextLook)
    #expect(next > at(1_000_000_000))
  }

  /// Random events against what must always hold.
  @Test(arguments: 0..<20) mutating func randomEvents(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let members = (0..<12).map { MemberKey.test($0) }
    var schedule = ProbeSchedule(maximumInFlight: 3)
    var known: Set<MemberKey> = []
    var running: [MemberKey: Instant] = [:]
    var lastStart: [MemberKey: Instant] = [:]
    var now = at(0)
    for _ in 0..<5000 {
      now = now + .microseconds(Int64.random(in: 0...20_000, using: &random))
      let member = members[Int.random(in: 0..<members.count, using: &random)]
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        schedule.add([(member, .milliseconds(Int64.random(in: 1...400, using: &random)))], now: now)
        known.insert(member)
        running[member] = nil
        lastStart[member] = nil
      case 1:
        schedule.remove(member)
        known.remove(member)
        running[member] = nil
      case 2: schedule.probeSoon(member, now: now)
      case 3: schedule.sessionEnded(member, now: now)
      case 4, 5, 6:
        schedule.finished(member, using: &self.random)
        running[member] = nil
      default:
        for started in schedule.start(now: now) {
          #expect(known.contains(started) && running[started] == nil)
          running[started] = now
          lastStart[started] = now
        }
      }
      #expect(running.count <= 3)
      // Whoever is known is running, or will be looked at.
      #expect(running.count == 3 || known.subtracting(running.keys).isEmpty || schedule.nextLook != nil)
    }
  }
}
