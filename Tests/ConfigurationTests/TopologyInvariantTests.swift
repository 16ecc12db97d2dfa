import Model
import Testing

@testable import LebaConfiguration

/// Whatever strangers write into DNS, in whatever order: no error, no trap, and groups that the engine can run.
@Suite struct TopologyInvariantTests {
  private static let yaml = """
    backends: [{id: s, address: 10.0.0.1, port: 80}]
    dns_backends:
      - {domain: a.example, port: 80, txt: true}
      - {domain: a.example, port: 81, txt: true}
      - {domain: a.example, port: 80, group_name: g}
      - {domain: b.example, port: 80, txt: true, is_primary: true}
      - {domain: _c.example, txt: true}
      - {domain: _c.example, txt: true, group_name: h}
      - {domain: d.example, port: 80, txt: true, weight: 3}
      - {domain: e.example, port: 80, txt: true}
      - {domain: f.example, port: 80}
    failover_groups:
      - {name: g, mode: active-passive, backends: [s, e.example], primary: s}
      - {name: both, mode: normal, backends: [e.example]}
      - {name: empty}
    """

  private static let domains: [DomainName] = [
    "a.example", "b.example", "_c.example", "d.example", "e.example", "f.example", "new1.example", "new2.example", "none.example",
  ]

  @Test(arguments: 0..<40) func `no combination makes an invalid group`(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var topology = try load(Self.yaml).topology
    // What DNS said last, applied to a fresh value in any order, gives the same groups: no trace of the way is left.
    var last: [DomainName: TextAttributes] = [:]
    var added: [DNSEntryRequest] = []
    for _ in 0..<150 {
      let before = topology.groups
      switch Int.random(in: 0..<12, using: &generator) {
      case 0:
        let request = DNSEntryRequest(
          domain: ["new1.example", "new2.example"].randomElement(using: &generator) ?? "", port: 80,
          groupName: [nil, "g", "x"].randomElement(using: &generator) ?? nil, txt: Bool.random(using: &generator))
        do {
          try topology.add(request)
          added.append(request)
        } catch {
          #expect(topology.groups == before)
        }
      case 1:
        let domain = Self.domains.randomElement(using: &generator) ?? "a.example"
        do {
          try topology.remove(domain)
          added.removeAll { $0.domain == domain.rawValue }
          last[domain] = nil
        } catch {
          #expect(topology.groups == before)
        }
      default:
        let domain = Self.domains.randomElement(using: &generator) ?? "a.example"
        let attributes = Int.random(in: 0..<8, using: &generator) == 0 ? nil : randomAttributes(&generator)
        #expect(topology.apply(attributes, for: domain) == (topology.groups != before))
        if topology.domains.contains(where: { $0.domain == domain && $0.readsText }) {
          last[domain] = attributes ?? last[domain] ?? TextAttributes()
        }
      }
      let names = Set(before.map(\.name)).union(topology.groups.map(\.name))
      let old = Dictionary(before.map { ($0.name, $0) }) { first, _ in first }
      if topology.groups != before { #expect(topology.changed == names.filter { old[$0] != topology[$0] }) }
      check(topology)
    }
    var fresh = try load(Self.yaml).topology
    for request in added { try fresh.add(request) }
    for (domain, attributes) in last.shuffled(using: &generator) { _ = fresh.apply(attributes, for: domain) }
    // The order of events leaves no trace but one: a group in which DNS took the mark away stays active-passive.
    let settled = fresh.groups.map { group in
      var group = group
      if topology[group.name]?.mode == .activePassive { group.mode = .activePassive }
      return group
    }
    #expect(settled == topology.groups)
    #expect(fresh.domains == topology.domains)
    #expect(fresh.entries == topology.entries)
  }

  private func check(_ topology: Topology) {
    let groups = topology.groups
    #expect(Set(groups.map(\.name)).count == groups.count)
    for group in groups {
      #expect(!group.members.isEmpty && GroupName.isWellFormed(group.name.rawValue))
      #expect(Set(group.members.map(\.origin)).count == group.members.count)
      #expect(group.members.allSatisfy { (0...65535).contains($0.weight ?? 1) })
    }
    // Those the file leaves free are in one group at most; e.example is listed by two.
    for domain in Self.domains where domain != "e.example" {
      let ports = topology.entries.filter { $0.domain == domain }.count
      #expect(groups.flatMap(\.members).count { $0.isOf(domain) } <= ports)
    }
  }

  private func randomAttributes(_ generator: inout SeededGenerator) -> TextAttributes {
    func maybe<Value>(_ values: [Value]) -> Value? {
      Bool.random(using: &generator) ? values.randomElement(using: &generator) : nil
    }
    return TextAttributes(
      isPrimary: maybe([true, true, false]), group: maybe(["g", "h", "x", "empty", "both", "a.example", "", "..", "a b"]),
      weight: maybe([0, 1, 65535, -1, 65536, .max]), zone: maybe(["z", ""]), mode: maybe(GroupMode.allCases),
      maintenance: maybe([true, false]))
  }
}

extension MemberSource {
  fileprivate func isOf(_ name: DomainName) -> Bool {
    if case .domain(name, _) = origin { true } else { false }
  }
}
