import Failover
import Model
import Testing

@Suite("Timelines of writable servers")
struct TimelineTests {
  func ready(_ specification: GroupSpecification = .fixed("a", "b", check: .role)) throws -> Script {
    var script = try Script(specification)
    script.pass("a", timeline: 3)
    script.pass("b", role: .replica)
    return script
  }

  @Test("of two writable servers the one with the higher timeline is followed, with one alarm, and they never alternate")
  func higher() throws {
    var script = try ready()
    #expect(
      script.pass("b", timeline: 4) == [
        .routes(["b"]), .record(.roleChanged, "b"), .record(.failover, "b"), .record(.twoWritable, "b"),
      ])
    #expect(script.changes.last?.reason == .higherTimeline(4, over: 3))
    for _ in 1...200 {
      script.wait(.milliseconds(300))
      script.pass("a", timeline: 3)
      script.pass("b", timeline: 4)
    }
    #expect(script.primary == "b")
    #expect(script.changes.count == 2)
    #expect(script.kinds.count { $0 == .twoWritable } == 1)
    #expect(script.violations == [])
  }

  @Test("the same timeline, a lower one, or none: the current one is kept", arguments: [3, 2, nil] as [UInt32?])
  func kept(timeline: UInt32?) throws {
    var script = try ready()
    if let timeline { script.pass("b", timeline: timeline) } else { script.pass("b", role: .primary) }
    #expect(script.primary == "a")
    #expect(script.decisions.last?.kind == .twoWritable)
  }

  @Test("a conflict that was alarmed about before the timeline was known is not alarmed about again")
  func lateTimeline() throws {
    var script = try ready()
    script.pass("b", role: .primary)
    script.pass("b", timeline: 4)
    #expect(script.primary == "b")
    #expect(script.kinds.count { $0 == .twoWritable } == 1)
  }

  @Test("a person's choice is not overruled by a timeline")
  func chosen() throws {
    var script = try ready()
    try script.choose("a")
    script.pass("b", timeline: 4)
    #expect(script.primary == "a")
    #expect(script.kinds.contains(.twoWritable))
    try script.lift()
    #expect(script.primary == "b")
  }

  @Test("the interval holds here, too")
  func interval() throws {
    var script = try ready(.fixed("a", "b", "c", check: .role))
    script.pass("b", timeline: 4)
    script.pass("c", timeline: 5)
    #expect(script.primary == "b")
    #expect(script.explanation?.rule == "waiting_for_minimum_interval")
    for _ in 1...40 {
      script.wait(.milliseconds(300))
      script.pass("b", timeline: 4)
      script.pass("c", timeline: 5)
    }
    #expect(script.primary == "c")
  }

  @Test("the first election takes the later one, whatever the name says")
  func firstElection() throws {
    var script = try Script(.fixed("a", "b", check: .role))
    script.pass("b", timeline: 2)
    #expect(script.primary == nil)
    script.pass("a", timeline: 1)
    #expect(script.primary == "b")
  }

  @Test("none writable: the group holds, and nobody is elected")
  func noneWritable() throws {
    var script = try ready()
    script.pass("a", role: .replica)
    #expect(script.serving(.primary) == [])
    #expect(script.explanation?.rule == "nobody_eligible")
    #expect(script.explanation?.changes == ["if a is promoted", "if b is promoted"])
  }
}
