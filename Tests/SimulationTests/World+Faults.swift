import Failover
import Model

/// Everything bad that is done to the world, and how it ends.
extension World {
  mutating func strike() {
    schedule(.fault, after: random.duration(milliseconds: 20...3000))
    let cluster = Int.random(in: 0..<clusters.count, using: &random)
    let server = Int.random(in: 0..<clusters[cluster].servers.count, using: &random)
    switch Int.random(in: 0..<22, using: &random) {
    case 0...3: strike(server, in: cluster, with: random.pick(Condition.allCases))
    case 4: recover(server, in: cluster)
    case 5:
      // A planned switch-over, in which the server may be writable before the old one is not.
      if random.chance(30) { fork(server, in: cluster) } else { promote(server, in: cluster) }
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
    case 9...10:
      clusters[cluster].tiers[server] = random.pick([0, 0, 10, 20])
      note("server \(server) of cluster \(cluster) is in tier \(clusters[cluster].tiers[server] ?? 0)")
    case 11:
      if clusters[cluster].drained.remove(server) == nil { clusters[cluster].drained.insert(server) }
      note("drained of cluster \(cluster): \(clusters[cluster].drained.sorted())")
    case 12...14: redescribe()
    case 15:
      hostIsCutOff = true
      note("this host is cut off")
    case 16...17:
      hostIsCutOff = false
      note("this host is connected")
    case 18:
      clusters[cluster].servers[server].lag = random.pick([.zero, .seconds(1), .seconds(60)])
      note("server \(server) of cluster \(cluster) lags by \(clusters[cluster].servers[server].lag.text)")
    case 19:
      clusters[cluster].servers[server].slowness = random.pick([1, 10, 40])
      note("server \(server) of cluster \(cluster) is \(clusters[cluster].servers[server].slowness) times slower")
    case 20:
      setClock(by: random.pick([.seconds(-86_400), .seconds(-30), .seconds(-2), .seconds(3), .seconds(40), .seconds(86_400)]))
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
    for route in auditor.sortedRoutes {
      for member in route.members where member.address == .ip(address, port: 5432) && member.standing.any == .serve {
        let signal = DataPathSignal(member: MemberKey(group: route.name, backend: member.backend), kind: .reset)
        for _ in 0..<3 { schedule(.signal(signal), after: random.duration(milliseconds: 0...5)) }
      }
    }
  }

  mutating func promote(_ server: Int, in cluster: Int) {
    fork(server, in: cluster)
    for other in clusters[cluster].servers.indices where other != server {
      clusters[cluster].servers[other].writable = false
      clusters[cluster].servers[other].timeline = clusters[cluster].servers[server].timeline
    }
  }

  /// The server becomes writable, on a timeline of its own, whatever the others are.
  private mutating func fork(_ server: Int, in cluster: Int) {
    if clusters[cluster].servers[server].writable { return }
    let latest = clusters[cluster].servers.map(\.timeline).max() ?? 0
    clusters[cluster].servers[server].writable = true
    clusters[cluster].servers[server].timeline = latest + 1
  }

  /// Topology in DNS: groups go and come back, and are described otherwise.
  private mutating func redescribe() {
    var groups = describedNow
    let leaving: Leaving = random.chance(70) ? .afterHold : .atOnce
    guard let chosen = described.isEmpty ? nil : random.pick(described) else { return }
    if let position = groups.firstIndex(where: { $0.name == chosen.name }) {
      switch Int.random(in: 0..<12, using: &random) {
      case 0: groups.remove(at: position)
      case 1: groups[position].mode = groups[position].mode == .normal ? .activePassive : .normal
      case 2: groups[position].members.reverse()
      case 3: if groups[position].members.count > 1 { groups[position].members.removeLast() }
      case 4:
        groups[position].failback = random.pick([.manual, .automatic(after: .zero), .automatic(after: .seconds(2))])
      case 5: groups[position].minimumInterval = random.duration(milliseconds: 0...4000)
      case 6: groups[position].maximumFailovers = random.pick([nil, FailoverLimit(count: 1, within: .seconds(8))])
      case 7: groups[position].shadow.toggle()
      case 8:
        groups[position].predictive = random.pick([nil, Predictive(degradeBelow: 80, ejectBelow: 40), Predictive(degradeBelow: 70)])
      case 9: groups[position].pin.toggle()
      case 10:
        let source = Int.random(in: 0..<groups[position].members.count, using: &random)
        groups[position].members[source].maintenance.toggle()
      default:
        let source = Int.random(in: 0..<groups[position].members.count, using: &random)
        for other in groups[position].members.indices { groups[position].members[other].isPrimary = other == source }
        groups[position].members[source].weight = random.pick([nil, 0, 5])
      }
    } else {
      groups.append(chosen)
    }
    note("described, \(leaving): \(groups.map { "\($0.name) \($0.mode) \($0.members.map { "\($0.origin)\($0.maintenance)" })" })")
    describe(groups, leaving: leaving)
  }

  /// What the name server says, or nil when it says nothing at all this time.
  mutating func ask(_ domain: DomainName) -> DiscoveryUpdate? {
    guard let number = clusters.firstIndex(where: { $0.names.contains(domain) }) else { return nil }
    let cluster = clusters[number]
    let truth = cluster.truth(of: domain)
    switch cluster.nameServer {
    case .honest:
      clusters[number].lastAnswers[domain] = truth
      return truth
    case .failing: return DiscoveryUpdate(domain: domain, outcome: .failed(random.pick(DNSFailure.allCases)))
    case .empty: return DiscoveryUpdate(domain: domain, outcome: .empty)
    case .stale: return random.chance(50) ? cluster.lastAnswers[domain] ?? truth : truth
    case .lying:
      let foreign = random.pick(clusters.flatMap(\.servers)).address
      let port: UInt16? = domain == cluster.serviceName ? 5432 : nil
      let lies = Set([foreign, .v4(0x0aff_0000 + UInt32.random(in: 0...3, using: &random))])
      return DiscoveryUpdate(domain: domain, outcome: .answer(lies.map { DiscoveredEndpoint($0, port: port) }.sorted()))
    }
  }

  /// All faults end: every server is well, one per cluster is writable, names are true.
  mutating func heal() {
    healed = true
    hostStalls = false
    hostIsCutOff = false
    for cluster in clusters.indices {
      for server in clusters[cluster].servers.indices {
        recover(server, in: cluster)
        clusters[cluster].servers[server].lag = .zero
        clusters[cluster].servers[server].slowness = 1
      }
      clusters[cluster].nameServer = .honest
      clusters[cluster].drained = []
      promote(clusters[cluster].named, in: cluster)
    }
    tidyUp()
    describe(described, leaving: .afterHold)
    note("healed")
  }
}

extension World.Cluster {
  /// What an honest name server says; nil for a name that is not of this cluster.
  func truth(of domain: DomainName) -> DiscoveryUpdate? {
    guard names.contains(domain) else { return nil }
    if domain == serviceName {
      let endpoints = servers.enumerated().filter { !drained.contains($0.offset) }.map { number, server in
        DiscoveredEndpoint(server.address, port: 5432, tier: tiers[number] ?? 0, weight: UInt16(number))
      }
      return DiscoveryUpdate(domain: domain, outcome: .answer(endpoints.sorted()), isDrained: !drained.isEmpty)
    }
    let addresses = servers.enumerated().filter { ($0.offset == named) == (domain == primaryName) }.map(\.element.address)
    let endpoints = addresses.map { DiscoveredEndpoint($0) }.sorted()
    return DiscoveryUpdate(domain: domain, outcome: endpoints.isEmpty ? .empty : .answer(endpoints))
  }
}
