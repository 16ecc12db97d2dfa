import Failover
import Model

/// Everything bad that is done to the world, and how it ends.
extension World {
  mutating func strike() {
    schedule(.fault, after: random.duration(milliseconds: 20...3000))
    let cluster = Int.random(in: 0..<clusters.count, using: &random)
    let server = Int.random(in: 0..<clusters[cluster].servers.count, using: &random)
    switch Int.random(in: 0..<10, using: &random) {
    case 0...3: strike(server, in: cluster, with: random.pick(Condition.allCases))
    case 4: recover(server, in: cluster)
    case 5:
      // A planned switch-over, in which the server may be writable before the old one is not.
      if random.chance(20) { clusters[cluster].servers[server].writable = true } else { promote(server, in: cluster) }
      note("server \(server) of cluster \(cluster) was promoted")
    case 6:
      clusters[cluster].nameServer = random.pick([.honest, .failing, .empty, .stale, .lying])
      note("DNS of cluster \(cluster): \(clusters[cluster].nameServer)")
    case 7:
      clusters[cluster].named = server
      note("the primary's name of cluster \(cluster) leads to server \(server)")
    case 8:
      hostStalls.toggle()
      note("this host \(hostStalls ? "stalls" : "goes on")")
    default: for server in clusters[cluster].servers.indices { recover(server, in: cluster) }
    }
  }

  private mutating func strike(_ server: Int, in cluster: Int, with condition: Condition) {
    let old = clusters[cluster].servers[server]
    clusters[cluster].servers[server].condition = condition
    note("server \(server) of cluster \(cluster) is \(condition)")
    if condition == .dead && old.condition == .alive { resetSessions(to: old.address) }
    if condition == .dead || condition == .frozen, old.writable, random.chance(70) {
      let heir = Int.random(in: 0..<clusters[cluster].servers.count, using: &random)
      schedule(.promotion(cluster: cluster, server: heir), after: random.duration(milliseconds: 200...4000))
    }
  }

  private mutating func recover(_ server: Int, in cluster: Int) {
    clusters[cluster].servers[server].condition = .alive
    note("server \(server) of cluster \(cluster) is alive")
  }

  /// A process that dies sends a reset on each of its connections.
  private mutating func resetSessions(to address: IPAddress) {
    for route in auditor.table.groups {
      for member in route.members where member.address == .ip(address, port: 5432) && member.standing.any == .serve {
        let signal = DataPathSignal(member: MemberKey(group: route.name, backend: member.backend), kind: .reset)
        for _ in 0..<3 { schedule(.signal(signal), after: random.duration(milliseconds: 0...5)) }
      }
    }
  }

  mutating func promote(_ server: Int, in cluster: Int) {
    for other in clusters[cluster].servers.indices { clusters[cluster].servers[other].writable = other == server }
  }

  /// What the name server says, or nil when it says nothing at all this time.
  mutating func ask(_ domain: DomainName) -> DiscoveryUpdate.Outcome? {
    guard let number = clusters.firstIndex(where: { $0.primaryName == domain || $0.replicaName == domain }) else { return nil }
    let cluster = clusters[number]
    let named = cluster.servers.enumerated().filter { ($0.offset == cluster.named) == (domain == cluster.primaryName) }
    let addresses = named.map(\.element.address)
    let truth: DiscoveryUpdate.Outcome = addresses.isEmpty ? .empty : .answer(addresses)
    switch cluster.nameServer {
    case .honest:
      clusters[number].lastAnswers[domain] = truth
      return truth
    case .failing: return .failed(random.pick(DNSFailure.allCases))
    case .empty: return .empty
    case .stale: return random.chance(50) ? cluster.lastAnswers[domain] ?? truth : truth
    case .lying:
      let foreign = random.pick(clusters.flatMap(\.servers)).address
      return .answer(Set([foreign, .v4(0x0aff_0000 + UInt32.random(in: 0...3, using: &random))]).sorted())
    }
  }

  mutating func operate() {
    schedule(.operate, after: random.duration(milliseconds: 500...10_000))
    guard let group = engine.groups.isEmpty ? nil : random.pick(engine.groups) else { return }
    if random.chance(10) {
      do { try delete(group.name) } catch { note("\(error)") }
      return
    }
    guard !group.members.isEmpty else { return }
    setPrimary(of: group.name, to: random.pick(group.members).id, force: random.chance(25), pin: random.chance(20))
  }

  /// All faults end: every server is well, one per cluster is writable, names are true.
  mutating func heal() {
    healed = true
    hostStalls = false
    for cluster in clusters.indices {
      for server in clusters[cluster].servers.indices { recover(server, in: cluster) }
      clusters[cluster].nameServer = .honest
      promote(clusters[cluster].named, in: cluster)
    }
    note("healed")
  }

  /// What a person does once all is well again: pins and forced choices that stand in the way are lifted.
  mutating func liftOverrides() {
    for group in engine.groups where group.override?.pin == true || group.override?.force == true {
      guard let able = group.members.first(where: { $0.obstacle(at: now) == nil }) else { continue }
      setPrimary(of: group.name, to: able.id, force: false, pin: false)
    }
  }
}
