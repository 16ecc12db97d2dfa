import Model
import Testing

@testable import Journal

/// The merging, without a disk.
@Suite struct PendingFactsTests {
  private var facts = PendingFacts(limits: Journal.Limits())

  private mutating func note(_ domain: DomainName, _ address: UInt32, at now: Double) -> PendingFacts.Urgency? {
    facts.note(domain, endpoints: [DiscoveredEndpoint(.v4(0x0a00_0000 + address))], attributes: nil, at: now)
  }

  /// As text: an address made within `#expect` crashes a debug build (Swift 6.3 loads the 16 bytes of an IPv6 address as aligned
  /// where they are not).
  private func address(of domain: DomainName, in batch: PendingFacts.Batch) -> String? {
    guard case .answered(let endpoints, _, _) = batch.changes[domain] else { return nil }
    return endpoints.map(\.address.description).joined(separator: " ")
  }

  @Test mutating func `notes of one name are one row, the newest`() throws {
    for time in 1...1000 { #expect(note("a", UInt32(time / 10), at: Double(time)) == .soon) }
    let batch = facts.take(refreshes: true)
    #expect(batch.changes.count == 1)
    #expect(address(of: "a", in: batch) == "10.0.0.100")
    #expect(batch.refreshes.isEmpty)
  }

  @Test mutating func `an unchanged answer is a refresh, once`() {
    _ = note("a", 1, at: 1)
    _ = facts.take(refreshes: false)
    #expect(note("a", 1, at: 2) == .lazily)
    #expect(note("a", 1, at: 3) == .lazily)
    #expect(facts.take(refreshes: false).isEmpty)
    #expect(facts.take(refreshes: true).refreshes == ["a": 3])
    #expect(facts.take(refreshes: true).isEmpty)
    #expect(note("a", 2, at: 4) == .soon)
  }

  @Test mutating func `a change of the attributes alone is a change`() {
    _ = note("a", 1, at: 1)
    _ = facts.take(refreshes: false)
    let urgency = facts.note(
      "a", endpoints: [DiscoveredEndpoint(.v4(0x0a00_0001))], attributes: TextAttributes(maintenance: true), at: 2)
    #expect(urgency == .soon)
  }

  @Test mutating func `a name that stays empty is written once`() {
    #expect(facts.forget("a", at: 1) == .soon)
    #expect(facts.forget("a", at: 2) == nil)
    _ = facts.take(refreshes: true)
    #expect(facts.forget("a", at: 3) == nil)
    #expect(note("a", 1, at: 4) == .soon)
  }

  @Test mutating func `what could not be written is not lost, and does not replace what is newer`() {
    _ = note("same", 1, at: 1)
    _ = facts.take(refreshes: true)
    _ = note("same", 1, at: 2)
    _ = note("old", 1, at: 2)
    _ = note("changed", 1, at: 2)
    _ = facts.store(FactKey(.dnsBackend, "backend"), json: "1")
    let failed = facts.take(refreshes: true)
    _ = note("changed", 2, at: 3)
    _ = facts.store(FactKey(.dnsBackend, "backend"), json: "2")
    facts.putBack(failed)
    let batch = facts.take(refreshes: true)
    #expect(batch.changes.keys.sorted() == ["changed", "old"])
    #expect(address(of: "changed", in: batch) == "10.0.0.2")
    #expect(batch.refreshes == ["same": 2])
    #expect(batch.stored == [FactKey(.dnsBackend, "backend"): "2"])
  }

  @Test mutating func `there is a bound for everything, and what is refused is counted`() {
    var limits = Journal.Limits()
    (limits.rows, limits.facts, limits.factBytes) = (10, 2, 8)
    facts = PendingFacts(limits: limits)
    for number in 0..<15 { _ = note(DomainName("\(number)"), 1, at: 1) }
    #expect(facts.take(refreshes: true).changes.count == 10)
    #expect(facts.takeRefused() == 5)
    // Written ones make room.
    #expect(note("new", 1, at: 2) == .soon)
    #expect(facts.store(FactKey(.dnsBackend, "a"), json: "1") == .atOnce)
    #expect(facts.store(FactKey(.dnsBackend, "b"), json: "123456789") == nil)
    #expect(facts.store(FactKey(.dnsBackend, "b"), json: "1") == .atOnce)
    #expect(facts.store(FactKey(.dnsBackend, "c"), json: "1") == nil)
    #expect(facts.store(FactKey(.dnsBackend, "a"), json: "2") == .atOnce)
    #expect(facts.takeRefused() == 2)
  }

  @Test mutating func `a new file gets the backends again, and answers as they come`() {
    _ = note("a", 1, at: 1)
    _ = facts.store(FactKey(.dnsBackend, "backend"), json: "1")
    _ = facts.store(FactKey(.dnsBackend, "removed"), json: "1")
    _ = facts.take(refreshes: true)
    _ = facts.remove(FactKey(.dnsBackend, "removed"))
    facts.opened(facts: [FactKey(.dnsBackend, "removed"): "1"], lastRecord: 0, isNew: false)
    #expect(facts.kept == [FactKey(.dnsBackend, "backend"): "1"])
    facts.opened(facts: [:], lastRecord: 0, isNew: true)
    let batch = facts.take(refreshes: true)
    #expect(batch.stored == [FactKey(.dnsBackend, "backend"): "1"])
    #expect(batch.removed == [FactKey(.dnsBackend, "removed")])
    #expect(note("a", 1, at: 2) == .soon)
  }
}
