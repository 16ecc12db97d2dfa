@testable import Discovery

/// Writes DNS messages for the tests, wrong ones too. It does not share code with the parser it tests.
struct PacketBuilder {
  var bytes: [UInt8] = []

  /// `flags`: 0x8180 is a recursive server's good answer, 0x8580 the same from an authority.
  init(
    id: UInt16 = 0x1234, flags: UInt16 = 0x8180, questions: UInt16 = 1, answers: UInt16 = 0, authority: UInt16 = 0,
    additional: UInt16 = 0
  ) {
    for field in [id, flags, questions, answers, authority, additional] { append16(field) }
  }

  mutating func append16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 0xFF)] }

  mutating func append32(_ value: UInt32) {
    append16(UInt16(value >> 16))
    append16(UInt16(value & 0xFFFF))
  }

  static func name(_ text: String) -> [UInt8] {
    text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
  }

  mutating func question(_ name: String, _ type: RecordType) {
    bytes += Self.name(name)
    append16(type.rawValue)
    append16(1)
  }

  /// A record with an uncompressed owner, or with any owner bytes.
  mutating func record(_ owner: [UInt8], type: UInt16, recordClass: UInt16 = 1, ttl: UInt32, data: [UInt8]) {
    bytes += owner
    append16(type)
    append16(recordClass)
    append32(ttl)
    append16(UInt16(data.count))
    bytes += data
  }

  mutating func address(_ owner: String, _ v4: [UInt8], ttl: UInt32) {
    record(Self.name(owner), type: 1, ttl: ttl, data: v4)
  }

  mutating func alias(_ owner: String, _ target: String, ttl: UInt32) {
    record(Self.name(owner), type: 5, ttl: ttl, data: Self.name(target))
  }

  mutating func startOfAuthority(_ owner: String, ttl: UInt32, minimum: UInt32) {
    var data = PacketBuilder()
    data.bytes = Self.name("ns." + owner) + Self.name("admin." + owner)
    for value in [1, 2, 3, 4, minimum] { data.append32(value) }
    record(Self.name(owner), type: 6, ttl: ttl, data: data.bytes)
  }

  /// The common answer: one question, its addresses.
  static func answer(_ name: String, _ addresses: [[UInt8]], ttl: UInt32 = 60, flags: UInt16 = 0x8180) -> [UInt8] {
    var packet = PacketBuilder(flags: flags, answers: UInt16(addresses.count))
    let isV6 = addresses.first?.count == 16
    packet.question(name, isV6 ? .aaaa : .a)
    for address in addresses { packet.record([0xC0, 0x0C], type: isV6 ? 28 : 1, ttl: ttl, data: address) }
    return packet.bytes
  }
}
