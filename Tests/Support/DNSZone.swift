/// The records that `ProgrammableDNSServer` serves, and how an authority answers from them (RFC 1034 section 4.3.2).
struct DNSZone: Sendable {
  /// An authority's answer to a query that asked for recursion, which it does not offer: as knotd answers.
  private static let flags: UInt16 = 0x8500

  let name: String
  /// How long "there is no such name" may be believed (the SOA's minimum).
  let negativeTTL: UInt32
  /// With absolute names.
  private(set) var records: [DNSRecord] = []
  /// Whether the addresses of SRV targets come along.
  var sendsAdditional = true

  init(_ name: String, negativeTTL: UInt32) {
    self.name = name
    self.negativeTTL = negativeTTL
  }

  mutating func set(_ records: [DNSRecord]) { self.records = records.map { $0.absolute(in: name) } }

  func reply(to query: ProgrammableDNSServer.Query) -> ProgrammableDNSServer.Reply {
    guard contains(query.name) else { return query.code(5) }
    var answers: [DNSRecord] = []
    var place = query.name
    var seen: Set<String> = []
    while contains(place), seen.insert(place.lowercased()).inserted {
      let here = records.filter { Self.same($0.name, place) }
      let wanted = here.filter { $0.type == query.type }
      if !wanted.isEmpty {
        return query.packet(Self.flags, answers + wanted, additional: sendsAdditional ? addresses(ofTargetsIn: wanted) : [])
      }
      guard let alias = here.first(where: { $0.type == .cname }), case .alias(let target) = alias.data else {
        let exists = records.contains { Self.same($0.name, place) || Self.is($0.name, below: place) }
        return query.packet(Self.flags | (exists ? 0 : 3), answers, denial: (zone: name, ttl: negativeTTL, minimum: negativeTTL))
      }
      answers.append(alias)
      place = target
    }
    return query.packet(Self.flags, answers)
  }

  private func contains(_ name: String) -> Bool { Self.same(name, self.name) || Self.is(name, below: self.name) }

  private func addresses(ofTargetsIn services: [DNSRecord]) -> [DNSRecord] {
    var targets: Set<String> = []
    for case .service(_, _, _, let target) in services.map(\.data) { targets.insert(target.lowercased()) }
    return records.filter { ($0.type == .a || $0.type == .aaaa) && targets.contains($0.name.lowercased()) }
  }

  private static func same(_ a: String, _ b: String) -> Bool { a.lowercased() == b.lowercased() }

  private static func `is`(_ name: String, below zone: String) -> Bool { name.lowercased().hasSuffix("." + zone.lowercased()) }
}
