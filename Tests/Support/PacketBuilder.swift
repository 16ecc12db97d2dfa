import Foundation

/// Writes DNS messages for the tests, wrong ones too. It does not share code with the parser it tests.
package struct PacketBuilder: Sendable {
  package var bytes: [UInt8] = []

  /// `flags`: 0x8180 is a recursive server's good answer, 0x8580 the same from an authority.
  package init(
    id: UInt16 = 0x1234, flags: UInt16 = 0x8180, questions: UInt16 = 1, answers: UInt16 = 0, authority: UInt16 = 0,
    additional: UInt16 = 0
  ) {
    for field in [id, flags, questions, answers, authority, additional] { append16(field) }
  }

  package mutating func append16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 0xFF)] }

  package mutating func append32(_ value: UInt32) {
    append16(UInt16(value >> 16))
    append16(UInt16(value & 0xFFFF))
  }

  package static func name(_ text: String) -> [UInt8] {
    text.split(separator: ".").flatMap { [UInt8(truncatingIfNeeded: $0.utf8.count)] + Array($0.utf8) } + [0]
  }

  package mutating func question(_ name: String, _ type: DNSType) {
    bytes += Self.name(name)
    append16(type.rawValue)
    append16(1)
  }

  /// A record with an uncompressed owner, or with any owner bytes.
  package mutating func record(_ owner: [UInt8], type: UInt16, recordClass: UInt16 = 1, ttl: UInt32, data: [UInt8]) {
    bytes += owner
    append16(type)
    append16(recordClass)
    append32(ttl)
    append16(UInt16(truncatingIfNeeded: data.count))
    bytes += data
  }

  /// A record whose names are absolute. `asked` is the name of the question, which owners point to instead of repeating it.
  package mutating func record(_ record: DNSRecord, asked: String? = nil) {
    let owner = record.name == asked ? [0xC0, 0x0C] : Self.name(record.name)
    self.record(owner, type: record.type.rawValue, ttl: UInt32(clamping: record.ttl), data: Self.data(record.data))
  }

  package mutating func address(_ owner: String, _ v4: [UInt8], ttl: UInt32) {
    record(Self.name(owner), type: 1, ttl: ttl, data: v4)
  }

  package mutating func alias(_ owner: String, _ target: String, ttl: UInt32) {
    record(Self.name(owner), type: 5, ttl: ttl, data: Self.name(target))
  }

  package mutating func startOfAuthority(_ owner: String, ttl: UInt32, minimum: UInt32) {
    var data = PacketBuilder()
    data.bytes = Self.name("ns." + owner) + Self.name("admin." + owner)
    for value in [1, 2, 3, 4, minimum] { data.append32(value) }
    record(Self.name(owner), type: 6, ttl: ttl, data: data.bytes)
  }

  /// The common answer: one question, its addresses.
  package static func answer(_ name: String, _ addresses: [[UInt8]], ttl: UInt32 = 60, flags: UInt16 = 0x8180) -> [UInt8] {
    var packet = PacketBuilder(flags: flags, answers: UInt16(addresses.count))
    let isV6 = addresses.first?.count == 16
    packet.question(name, isV6 ? .aaaa : .a)
    for address in addresses { packet.record([0xC0, 0x0C], type: isV6 ? 28 : 1, ttl: ttl, data: address) }
    return packet.bytes
  }

  private static func data(_ data: DNSRecord.Data) -> [UInt8] {
    switch data {
    case .v4(let text): return address(text, AF_INET, length: 4)
    case .v6(let text): return address(text, AF_INET6, length: 16)
    case .alias(let target): return name(target)
    case .service(let priority, let weight, let port, let target):
      return [priority, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } + name(target)
    case .text(let strings):
      return strings.flatMap { [UInt8(truncatingIfNeeded: $0.utf8.count)] + Array($0.utf8) }
    }
  }

  /// No bytes for what is no address: a record that a parser refuses.
  private static func address(_ text: String, _ family: Int32, length: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: length)
    return inet_pton(family, text, &bytes) == 1 ? bytes : []
  }
}
