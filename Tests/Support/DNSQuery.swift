extension ProgrammableDNSServer {
  package enum Transport: Hashable, Sendable { case udp, tcp }

  /// A question the server was asked, and the answers a behaviour may give to it.
  package struct Query: Sendable {
    package let id: UInt16
    /// As it was asked, in its case.
    package var name: String
    package let type: DNSType
    package let transport: Transport
    /// The source port.
    package let port: UInt16
    /// EDNS, and the size of the answer it allows.
    package let hasOptions: Bool
    package let payloadSize: Int
    package let at: ContinuousClock.Instant
    package let bytes: [UInt8]
    /// The zone as it was when the question came.
    let zone: DNSZone
  }
}

extension ProgrammableDNSServer.Query {
  package typealias Reply = ProgrammableDNSServer.Reply

  /// What the zone says. Over UDP, what does not fit is left out, as a real server does.
  package var zoneAnswer: Reply {
    let reply = zone.reply(to: self)
    guard transport == .udp, reply.bytes.count > payloadSize else { return reply }
    return packet(0x8700)
  }

  /// Addresses of the question's family, or none of them (NODATA with an SOA of 5 s).
  package func answer(_ addresses: [[UInt8]] = [], ttl: UInt32 = 60, flags: UInt16 = 0x8180) -> Reply {
    let ours = addresses.filter { $0.count == (type == .a ? 4 : 16) }
    var packet = PacketBuilder(id: id, flags: flags, answers: UInt16(ours.count), authority: ours.isEmpty ? 1 : 0)
    packet.question(name, type)
    for address in ours { packet.record([0xC0, 0x0C], type: type.rawValue, ttl: ttl, data: address) }
    if ours.isEmpty { packet.startOfAuthority("example", ttl: 5, minimum: 5) }
    return Reply(packet.bytes)
  }

  /// Those of the records that the question asks for, and aliases; NODATA if that leaves none. Names are whole, `@` is the asked one.
  package func answer(_ records: DNSRecord..., additional: [DNSRecord] = [], flags: UInt16 = 0x8180) -> Reply {
    let ours = records.filter { $0.type == type || $0.type == .cname }.map(named)
    return packet(flags, ours, denial: ours.isEmpty ? ("example", 5, 5) : nil, additional: additional.map(named))
  }

  /// NXDOMAIN, which may be believed for the smaller of the two.
  package func noSuchName(ttl: UInt32 = 900, minimum: UInt32 = 5) -> Reply {
    packet(0x8183, denial: ("example", ttl, minimum))
  }

  /// A response without records: 1 FORMERR, 2 SERVFAIL, 3 NXDOMAIN, 4 NOTIMP, 5 REFUSED.
  package func code(_ code: UInt16) -> Reply { packet(0x8180 | code) }

  /// The same query for another name: what answers it answers a question nobody asked.
  package func named(_ name: String) -> Self {
    var query = self
    query.name = name
    return query
  }

  /// A record whose name is a compression pointer to itself.
  package func pointerLoop() -> Reply {
    var packet = PacketBuilder(id: id, answers: 1)
    packet.question(name, type)
    let here = UInt16(packet.bytes.count)
    packet.record([0xC0 | UInt8(here >> 8), UInt8(here & 0xFF)], type: type.rawValue, ttl: 60, data: [192, 0, 2, 66])
    return Reply(packet.bytes)
  }

  /// - Parameter denial: the SOA of the authority section.
  func packet(
    _ flags: UInt16, _ answers: [DNSRecord] = [], denial: (zone: String, ttl: UInt32, minimum: UInt32)? = nil,
    additional: [DNSRecord] = []
  ) -> Reply {
    var packet = PacketBuilder(
      id: id, flags: flags, answers: UInt16(clamping: answers.count), authority: denial == nil ? 0 : 1,
      additional: UInt16(clamping: additional.count))
    packet.question(name, type)
    for record in answers { packet.record(record, asked: name) }
    if let denial { packet.startOfAuthority(denial.zone, ttl: denial.ttl, minimum: denial.minimum) }
    for record in additional { packet.record(record, asked: name) }
    return Reply(packet.bytes)
  }

  private func named(_ record: DNSRecord) -> DNSRecord {
    var record = record
    if record.name == "@" { record.name = name }
    return record
  }

  /// Nil for what is no query; such packets get no answer and are not counted.
  init?(parsing bytes: [UInt8], _ transport: ProgrammableDNSServer.Transport, port: UInt16, zone: DNSZone) {
    func uint16(_ offset: Int) -> UInt16? {
      offset + 1 < bytes.count ? UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) : nil
    }
    var labels: [String] = []
    var index = 12
    while index < bytes.count, bytes[index] != 0 {
      let end = index + 1 + Int(bytes[index])
      guard end < bytes.count else { return nil }
      labels.append(String(decoding: bytes[(index + 1)..<end], as: UTF8.self))
      index = end
    }
    guard let id = uint16(0), let type = uint16(index + 1) else { return nil }
    // The pseudo-record's owner is the root, its class the size (RFC 6891 section 6.1.2).
    let options = index + 5
    hasOptions = uint16(options + 1) == 41
    payloadSize = hasOptions ? Int(uint16(options + 3) ?? 512) : 512
    self.id = id
    name = labels.joined(separator: ".")
    self.type = DNSType(rawValue: type)
    self.transport = transport
    self.port = port
    self.zone = zone
    self.bytes = bytes
    at = .now
  }
}
