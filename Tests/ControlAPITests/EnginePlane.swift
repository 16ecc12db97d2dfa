import ControlAPI
import Failover
import Foundation
import LebaConfiguration
import Model
import Synchronization

/// A control plane over a real engine, without proxy, probes or DNS: the API's own behaviour is what these tests are about.
final class EnginePlane: ControlPlane {
  private struct State {
    var engine = Engine(holdRemoved: .seconds(10))
    var counts = DecisionCounts()
    var decisions: [Decision] = []
    var now = Instant(nanoseconds: 1_000_000_000)

    mutating func apply(_ effects: [Effect]) {
      for case .record(let decision) in effects {
        counts.add(decision)
        decisions.append(decision)
      }
    }
  }

  private let state = Mutex(State())
  let script = Mutex(Script())
  let isHandingOver = false
  let eventFeed = EventFeed()

  init(_ groups: [GroupSpecification]) {
    state.withLock { state in state.apply(state.engine.handle(.groupsConfigured(groups, leaving: .atOnce), now: state.now)) }
  }

  func probe(_ group: GroupName, _ backend: BackendID, _ outcome: ProbeOutcome) {
    let report = ProbeReport(member: MemberKey(group: group, backend: backend), outcome: outcome)
    state.withLock { state in
      state.now = state.now + .milliseconds(100)
      state.apply(state.engine.handle(.probeFinished(report), now: state.now))
    }
  }

  func view() async -> ControlView {
    state.withLock { state in
      ControlView(now: state.now, groups: state.engine.groups.map { $0.snapshot(at: state.now) }, counts: state.counts)
    }
  }

  /// What was decided, oldest first, with now as the time of the clock on the wall.
  var events: [EventRecord] {
    let (decisions, now) = state.withLock { ($0.decisions, $0.now) }
    return decisions.map { EventRecord($0, at: WallTime.current - (now - $0.at)) }
  }

  func status() async -> StatusView {
    StatusView(
      state: .ready, version: "0", uptimeSeconds: 1, engine: "none", connectionLimit: 1, zone: nil,
      configuration: StatusView.ConfigurationFile(file: "f", loadedAt: WallTime(milliseconds: 0), problem: "line 3 is wrong"),
      listeners: [], domains: [], journal: StatusView.Journal(path: "/state/leba.sqlite", problem: nil))
  }

  func activeConnections() async -> [MemberKey: Int] { [:] }
  func metrics() async -> [MetricFamily] { [] }

  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    guard let mode = GroupMode(rawValue: request.mode) else { throw .invalid("unknown mode '\(request.mode)'") }
    let members = request.backends.enumerated().map { position, id in
      MemberSource(
        origin: .fixed(BackendID(id), .ip(.v4(0x7F00_0001), port: UInt16(9000 + position))), proto: .tcp,
        isPrimary: id == request.primary, check: HealthCheck(kind: .tcp))
    }
    let specification = GroupSpecification(name: GroupName(request.name), mode: mode, members: members)
    return try command(specification.name, dryRun) { engine, now throws(CommandError) in
      try engine.createGroup(specification, now: now)
    }
  }

  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot {
    try command(group, dryRun) { engine, now throws(CommandError) in
      try engine.setPrimary(of: group, to: BackendID(request.backend), force: request.force, pin: request.pin, now: now)
    }
  }

  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError) {
    _ = try command(name, dryRun) { engine, now throws(CommandError) in try engine.deleteGroup(name, now: now) }
  }

  // MARK: DNS

  func dnsStatus() async -> DNSStatusView {
    DNSStatusView(
      domains: [
        DomainView(
          domain: "db.example.com", record: "srv", source: "dns", outcome: "answer", server: "127.0.0.1:53",
          records: [.init(address: "192.0.2.1", port: 5432, tier: 10, weight: 5, ttlLeftSeconds: 12.5, named: true)],
          nextRefreshSeconds: 11, ageSeconds: 1, lookingUp: false, lastLookupSeconds: 0.002, consecutiveFailures: 0,
          questions: [.init(name: "db.example.com", type: "SRV", outcome: "answer", detail: "", server: "127.0.0.1:53")],
          attributes: TextAttributes(isPrimary: true, group: "pg"), refused: [.init(address: "127.0.0.1", reason: "loopback")],
          lookups: ["answer": 3, "addresses_refused": 1])
      ],
      servers: [.init(address: "127.0.0.1:53", answered: 4, failed: 1, askedLastForSeconds: nil)])
  }

  func refreshDNS(_ domain: DomainName?, dryRun: Bool) async throws(ControlError) -> [DomainName] {
    guard let domain else { return ["db.example.com"] }
    guard domain == "db.example.com" else { throw .dnsEntry(.unknown(domain)) }
    return [domain]
  }

  private let topology = Mutex(EnginePlane.emptyTopology)

  private static var emptyTopology: Topology? {
    try? Configuration.parse("dns_backends: [{domain: declared.example.com, port: 1}]", file: "f", environment: [:]).topology
  }

  func dnsEntries() async -> [DNSEntry] { topology.withLock { $0?.entries ?? [] } }

  func addDNSEntry(_ request: DNSEntryRequest, dryRun: Bool) async throws(ControlError) -> DNSEntry {
    try change(dryRun) { topology throws(DNSEntryRefusal) in try topology.add(request) }
  }

  func removeDNSEntry(_ domain: DomainName, dryRun: Bool) async throws(ControlError) {
    try change(dryRun) { topology throws(DNSEntryRefusal) in try topology.remove(domain) }
  }

  private func change<Answer>(
    _ dryRun: Bool, _ body: (inout Topology) throws(DNSEntryRefusal) -> Answer
  ) throws(ControlError) -> Answer {
    do throws(DNSEntryRefusal) {
      return try topology.withLock { (topology) throws(DNSEntryRefusal) in
        guard var changed = topology else { throw .invalid(reasons: ["the test's configuration is wrong"]) }
        let answer = try body(&changed)
        if !dryRun { topology = changed }
        return answer
      }
    } catch {
      throw .dnsEntry(error)
    }
  }

  private func command(
    _ name: GroupName, _ dryRun: Bool, _ body: (inout Engine, Instant) throws(CommandError) -> [Effect]
  ) throws(ControlError) -> GroupSnapshot {
    do throws(CommandError) {
      return try state.withLock { (state) throws(CommandError) in
        var engine = state.engine
        let effects = try body(&engine, state.now)
        guard let group = engine[name] ?? state.engine[name] else { throw .unknownGroup(name) }
        if !dryRun {
          state.engine = engine
          state.apply(effects)
        }
        return group.snapshot(at: state.now)
      }
    } catch {
      throw .command(error)
    }
  }
}
