import Model
import Testing

@testable import Health

@Suite struct HostLatenessTests {
  private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  @Test func `a timer that is on time changes nothing`() {
    var lateness = HostLateness()
    lateness.woke(at: at(105), due: at(100))
    #expect(lateness == HostLateness())
    #expect(lateness.extendedDeadline(start: at(0), timeout: .milliseconds(100), before: .zero, now: at(105)) == nil)
  }

  @Test func `a stall is given back to the probes it hit, and to no others`() {
    var lateness = HostLateness()
    let before = lateness.total
    lateness.woke(at: at(180), due: at(100))
    #expect(lateness.stalls == 1 && lateness.longest == .milliseconds(80) && lateness.total == .milliseconds(80))
    #expect(lateness.extendedDeadline(start: at(90), timeout: .milliseconds(85), before: before, now: at(180)) == at(255))
    #expect(lateness.extensions == 1)
    // Its time is over all the same in the end.
    #expect(lateness.extendedDeadline(start: at(90), timeout: .milliseconds(85), before: before, now: at(255)) == nil)
    #expect(lateness.extendedDeadline(start: at(180), timeout: .milliseconds(85), before: lateness.total, now: at(265)) == nil)
    #expect(lateness.extensions == 1)
  }

  @Test func `no probe lasts longer than twice its timeout`() {
    var lateness = HostLateness()
    for time in 1...100 { lateness.woke(at: at(Int64(time) * 50), due: at(Int64(time) * 50 - 40)) }
    #expect(lateness.total == .seconds(4))
    #expect(lateness.extendedDeadline(start: at(0), timeout: .milliseconds(300), before: .zero, now: at(599)) == at(600))
    #expect(lateness.extendedDeadline(start: at(0), timeout: .milliseconds(300), before: .zero, now: at(600)) == nil)
  }
}
