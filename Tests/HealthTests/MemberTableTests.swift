import Model
import Testing

@testable import Health

@Suite struct MemberTableTests {
  private func target(_ number: Int, of group: GroupName, port: UInt16 = 1) -> ProbeTarget {
    ProbeTarget(.tcp, at: .ip(.v4(0x7f00_0001), port: port), member: .test(number, of: group))
  }

  /// Against a dictionary, through many random additions, changes and removals.
  @Test(arguments: 0..<10) func `it holds what was put in`(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var table = MemberTable()
    var model: [UInt32: (target: ProbeTarget, failed: Int, passed: Int)] = [:]
    for _ in 0..<3000 {
      let number = UInt32.random(in: 0..<600, using: &random)
      let new = target(Int(number), of: GroupName("g\(number % 7)"), port: .random(in: 1...3, using: &random))
      switch Int.random(in: 0..<5, using: &random) {
      case 0:
        table.remove(number)
        model[number] = nil
      case 1 where model[number] == nil:
        table.add(new, as: number)
        model[number] = (new, 0, 0)
      case 2:
        table.change(number, to: new)
        model[number]?.target = new
      case 3:
        _ = table.record(.failed(.connectionClosed), of: number)
        model[number]?.failed += 1
      default:
        _ = table.record(.passed(latency: .milliseconds(1), role: nil), of: number)
        model[number]?.passed += 1
      }
    }
    for number in UInt32(0)..<600 { #expect(table.target(number) == model[number]?.target) }
    for group in 0..<7 {
      let expected = model.keys.filter { $0 % 7 == group }
      #expect(table.numbers(of: GroupName("g\(group)")).sorted() == expected.sorted())
    }
    for (number, member) in model { #expect(table.number(of: member.target.member) == number) }
    let probed = model.values.filter { $0.failed + $0.passed > 0 }
    let statistics = table.statistics
    #expect(statistics.count == probed.count)
    for member in probed {
      #expect(statistics[member.target.member]?.failed == member.failed)
      #expect(statistics[member.target.member]?.passed == member.passed)
    }
  }

  @Test func `a verdict is news once`() {
    var table = MemberTable()
    table.add(target(0, of: "g"), as: 0)
    let results = [
      table.record(.failed(.connectionClosed), of: 0), table.record(.failed(.connectionClosed), of: 0),
      table.record(.passed(latency: .zero, role: nil), of: 0), table.record(.passed(latency: .zero, role: .primary), of: 0),
      table.record(.passed(latency: .zero, role: .primary), of: 0), table.record(.passed(latency: .zero, role: nil), of: 9),
    ]
    #expect(results == [true, false, true, true, false, false])
  }
}
