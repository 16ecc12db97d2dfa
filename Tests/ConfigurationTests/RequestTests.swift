import Model
import Testing

@testable import LebaConfiguration

/// Backends and members that come and go while we run.
@Suite struct RequestTests {
  private static let yaml = """
    backends: [{id: s, address: 10.0.0.1, port: 80, protocol: http}]
    dns_backends: [{domain: d.example, port: 5432, protocol: postgres}]
    failover_groups: [{name: g, mode: normal, backends: [s], health_check: {interval: 7s}}]
    """

  private func refusal(_ request: BackendRequest, in topology: inout Topology) -> BackendRefusal? {
    do throws(BackendRefusal) {
      try topology.addBackend(request)
      return nil
    } catch {
      return error
    }
  }

  @Test func `a backend can be added, named and removed`() throws {
    var topology = try load(Self.yaml).topology
    let backend = try topology.addBackend(
      BackendRequest(id: "new", address: "10.0.0.2", port: 81, proto: "redis", weight: 3, zone: "z"))
    #expect(topology.backends == [backend, try #require(topology.backend("s"))])
    #expect(
      backend
        == BackendSpecification(id: "new", address: try #require(SocketAddress("10.0.0.2:81")), proto: .redis, weight: 3, zone: "z")
    )
    #expect(origins(try topology.group(named: "h", mode: "normal", backends: ["new"], primary: nil)) == ["new=10.0.0.2:81"])
    #expect(throws: BackendRefusal.inUse("new")) { try topology.removeBackend("new", used: ["new"]) }
    try topology.removeBackend("new", used: ["s"])
    #expect(topology.backends.map(\.id) == ["s"])
  }

  @Test func `a backend is held to the rules of the file`() throws {
    var topology = try load(Self.yaml).topology
    #expect(refusal(BackendRequest(id: "s", address: "10.0.0.9", port: 1), in: &topology) == .exists("s"))
    #expect(
      refusal(BackendRequest(id: "d.example", address: "10.0.0.9", port: 1), in: &topology)
        == .invalid(reasons: ["'d.example' is also a domain of dns_backends; choose another"]))
    #expect(
      refusal(BackendRequest(id: "x", address: "name", port: 0), in: &topology)
        == .invalid(reasons: [
          "'0' is not a port; write a whole number from 1 to 65535",
          "'name' is not an IP address; write one, for example 10.0.0.1; names go under dns_backends",
        ]))
    #expect(throws: BackendRefusal.declared("s", file: "t.yaml")) { try topology.removeBackend("s", used: []) }
    #expect(throws: BackendRefusal.unknown("x")) { try topology.removeBackend("x", used: []) }
    #expect(topology.backends.map(\.id) == ["s"])
    // And an entry may not take the name of a backend.
    try topology.addBackend(BackendRequest(id: "b.example", address: "10.0.0.9", port: 1))
    #expect(throws: DNSEntryRefusal.self) { try topology.add(DNSEntryRequest(domain: "b.example", port: 1)) }
  }

  @Test func `what is left of a group that was asked for in an earlier run is there, and what is missing is said`() throws {
    let topology = try load(Self.yaml).topology
    func remembered(_ backends: [String], primary: String? = nil) throws -> (group: GroupSpecification, problems: [String]) {
      try topology.group(rememberedAs: "h", mode: "active-passive", backends: backends, primary: primary)
    }
    let whole = try remembered(["s", "10.0.0.3:1"], primary: "s")
    #expect(whole.group == (try topology.group(named: "h", mode: "active-passive", backends: ["s", "10.0.0.3:1"], primary: "s")))
    #expect(whole.problems == [])
    let withoutPrimary = try remembered(["s", "10.0.0.3:1"])
    #expect(withoutPrimary.group.members.map(\.isPrimary) == [false, false] && withoutPrimary.problems == [])
    let withoutAll = try remembered([])
    #expect(withoutAll.group.members == [] && withoutAll.group.mode == .activePassive && withoutAll.problems == [])
    let undeclared = try remembered(["gone", "s"], primary: "gone")
    #expect(origins(undeclared.group) == ["s=10.0.0.1:80"])
    #expect(undeclared.problems.map { $0.prefix(32) } == ["'gone' is not declared anywhere;"])
    #expect(throws: GroupRefusal.self) {
      try topology.group(rememberedAs: "h", mode: "sideways", backends: ["s"], primary: nil)
    }
    // Who asks for one now is held to the rules.
    for (backends, primary) in [(["s"], nil), ([], nil), (["gone", "s"], "gone")] as [([String], String?)] {
      #expect(throws: GroupRefusal.self) {
        try topology.group(named: "h", mode: "active-passive", backends: backends, primary: primary)
      }
    }
  }

  @Test func `a member is what its group's members are`() throws {
    var topology = try load(Self.yaml).topology
    try topology.addBackend(BackendRequest(id: "new", address: "10.0.0.2", port: 81, proto: "http"))
    let group = try #require(topology["g"])
    func member(_ text: String, isPrimary: Bool = false) throws(GroupRefusal) -> MemberSource {
      try topology.member(text, isPrimary: isPrimary, of: "g", like: group)
    }
    #expect(try member("new").origin == .fixed("new", try #require(SocketAddress("10.0.0.2:81"))))
    #expect(try member("new").check == group.members[0].check)
    #expect(try member("10.0.0.2:81") == member("new"))
    #expect(try member("10.0.0.3:1").check.kind == .tcp)
    #expect(try member("10.0.0.3:1").check.interval == .seconds(7))
    #expect(try member("d.example", isPrimary: true).isPrimary)
    #expect(try member("d.example").origin == .domain("d.example", port: 5432))
    #expect(throws: GroupRefusal(reasons: ["'s' is already in the group 'g'"])) { try member("s") }
    #expect(throws: GroupRefusal.self) { try member("unknown") }
    var led = group
    led.members[0].isPrimary = true
    #expect(throws: GroupRefusal.self) { try topology.member("new", isPrimary: true, of: "g", like: led) }
  }
}
