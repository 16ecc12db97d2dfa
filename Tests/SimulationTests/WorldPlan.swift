import Model

/// How a world looks at its beginning: servers, names, groups, all from the seed.
struct WorldPlan {
  var clusters: [World.Cluster] = []
  var specifications: [GroupSpecification] = []
  var clusterOfGroup: [GroupName: Int] = [:]
  let holdRemoved: Duration
  /// Where this host is.
  let zone: String?

  init(using random: inout SeededGenerator) {
    holdRemoved = random.duration(milliseconds: 0...5000)
    zone = random.chance(50) ? "a" : nil
    for number in 0..<Int.random(in: 1...2, using: &random) {
      let count = Int.random(in: 1...3, using: &random)
      var servers = (0..<count).map { World.Server(address: .v4(0x0a00_0001 + UInt32(number * 256 + $0))) }
      servers[0].writable = true
      clusters.append(
        World.Cluster(
          primaryName: DomainName("primary\(number)"), replicaName: DomainName("replica\(number)"),
          serviceName: DomainName("_db._tcp.cluster\(number)"), servers: servers,
          spare: World.Server(address: .v4(0x0a00_00f0 + UInt32(number))), tellsTimeline: random.chance(60)))
    }
    for number in 0..<Int.random(in: 1...2, using: &random) {
      let cluster = Int.random(in: 0..<clusters.count, using: &random)
      clusterOfGroup[GroupName("g\(number)")] = cluster
      specifications.append(Self.group(GroupName("g\(number)"), of: clusters[cluster], using: &random))
    }
  }

  /// Where the servers are, and none of the addresses that a lying name server makes up.
  private static let serverRanges = [AddressRange("10.0.0.0/16")].compactMap { $0 }

  private static func group(_ name: GroupName, of cluster: World.Cluster, using random: inout SeededGenerator) -> GroupSpecification
  {
    let check = HealthCheck(
      kind: random.chance(50)
        ? .postgres(PostgresCheck(depth: .role, maximumLag: random.chance(50) ? .time(.seconds(10)) : nil)) : .tcp,
      interval: random.duration(milliseconds: 300...900),
      timeout: random.duration(milliseconds: 100...600), healthyThreshold: Int.random(in: 1...3, using: &random),
      unhealthyThreshold: Int.random(in: 1...3, using: &random))
    var sources: [MemberSource]
    switch Int.random(in: 0..<10, using: &random) {
    case 0...2:
      sources = cluster.servers.enumerated().map { number, server in
        MemberSource(
          origin: .fixed(BackendID("s\(number)"), .ip(server.address, port: 5432)), proto: .tcp, isPrimary: number == 0,
          check: check)
      }
    case 3...5:
      sources = [(cluster.primaryName, true), (cluster.replicaName, false)].map { domain, isPrimary in
        MemberSource(origin: .domain(domain, port: 5432), proto: .postgres, isPrimary: isPrimary, check: check)
      }
    case 6...7:
      sources = [
        MemberSource(
          origin: .domain(cluster.serviceName, port: nil), record: .srv, proto: .postgres, isPrimary: random.chance(30),
          check: check)
      ]
    default:
      // Everybody under two names, of which one has tiers.
      sources = [
        MemberSource(origin: .domain(cluster.serviceName, port: nil), record: .srv, proto: .postgres, check: check),
        MemberSource(origin: .domain(cluster.replicaName, port: 5432), proto: .postgres, weight: 3, check: check),
      ]
    }
    let zones: [String?] = random.chance(40) ? ["a", "b"] : [nil]
    for source in sources.indices { sources[source].zone = random.pick(zones) }
    let limit = FailoverLimit(count: Int.random(in: 1...3, using: &random), within: random.duration(milliseconds: 2000...12_000))
    return GroupSpecification(
      name: name, mode: random.chance(70) ? .activePassive : .normal, members: sources,
      failback: random.chance(60) ? .manual : .automatic(after: random.duration(milliseconds: 0...5000)),
      minimumInterval: random.duration(milliseconds: 0...4000), maximumFailovers: random.chance(30) ? limit : nil,
      pin: random.chance(8), zoneAffinity: random.chance(50),
      slowStart: random.chance(40) ? random.duration(milliseconds: 500...3000) : .zero,
      predictive: random.chance(40) ? Predictive(degradeBelow: 80, ejectBelow: random.pick([nil, 40, 60])) : nil,
      shadow: random.chance(8), holdTimeout: random.duration(milliseconds: 500...5000),
      drainTimeout: random.duration(milliseconds: 0...3000), allowedRanges: random.chance(40) ? serverRanges : [])
  }
}
