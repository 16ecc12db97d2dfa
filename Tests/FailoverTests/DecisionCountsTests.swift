import Failover
import Model
import Testing

@Suite("Counts of decisions")
struct DecisionCountsTests {
  @Test("by kind, and by reason for as long as the group lives")
  func counts() throws {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    for number in 1...20 { try script.choose(number.isMultiple(of: 2) ? "a" : "b") }
    var counts = DecisionCounts()
    for decision in script.decisions { counts.add(decision) }
    #expect(counts.byKind[.manual] == 20)
    #expect(counts.changes(of: "g", because: "manual") == 20)
    #expect(counts.changes(of: "g", because: "primary_down") == 0)
    var engine = Engine(holdRemoved: .zero)
    _ = try engine.createGroup(.fixed("a"), now: .zero)
    for case .record(let decision) in try engine.deleteGroup("g", now: .zero) { counts.add(decision) }
    #expect(counts.changes(of: "g", because: "manual") == 0)
    #expect(counts.byKind[.manual] == 20)
  }
}
