import Failover
import Model
import Testing

@Suite("The history of decisions")
struct HistoryTests {
  /// The decisions of a group whose primary changes `changes` times.
  func decisions(changes: Int) throws -> [Decision] {
    var script = try Script(.fixed("a", "b"))
    script.pass("a")
    script.pass("b")
    for number in 1...changes { try script.choose(number.isMultiple(of: 2) ? "a" : "b") }
    return script.decisions
  }

  @Test("the newest comes first, and no more than the capacity is kept")
  func bounded() throws {
    let all = try decisions(changes: 20)
    for capacity in 1...all.count + 1 {
      var history = DecisionHistory(capacity: capacity)
      for (count, decision) in all.enumerated() {
        history.append(decision)
        #expect(history.newestFirst == all.prefix(count + 1).suffix(capacity).reversed())
      }
    }
  }

  @Test("counts outlive the records, but not their group")
  func counts() throws {
    var history = DecisionHistory(capacity: 2)
    for decision in try decisions(changes: 20) { history.append(decision) }
    #expect(history.countByKind[.manual] == 20)
    #expect(history.changes(of: "g", because: "manual") == 20)
    #expect(history.changes(of: "g", because: "primary_down") == 0)
    var engine = Engine(holdRemoved: .zero)
    _ = try engine.createGroup(.fixed("a"), now: .zero)
    for case .record(let decision) in try engine.deleteGroup("g", now: .zero) { history.append(decision) }
    #expect(history.changes(of: "g", because: "manual") == 0)
  }
}
