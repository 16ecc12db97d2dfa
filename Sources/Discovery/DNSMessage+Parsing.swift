import Model

extension DNSMessage {
  /// TCP's length field ends here, so nothing longer was a message.
  static let maximumLength = 65_535

  /// Reads a message. The counts of the header are promises of the sender and reserve no memory: the bytes decide.
  init(parsing bytes: [UInt8]) throws(DNSMessageError) {
    guard bytes.count <= Self.maximumLength else { throw .tooLong }
    var reader = DNSReader(bytes)
    let id = try reader.uint16()
    let flags = try reader.uint16()
    let questionCount = try reader.uint16()
    let answerCount = try reader.uint16()
    let authorityCount = try reader.uint16()
    let additionalCount = try reader.uint16()
    header = Header(
      id: id,
      isResponse: flags & 0x8000 != 0,
      opcode: UInt8(flags >> 11 & 0xF),
      isAuthoritative: flags & 0x0400 != 0,
      isTruncated: flags & 0x0200 != 0,
      recursionAvailable: flags & 0x0080 != 0,
      code: ResponseCode(UInt8(flags & 0xF)))
    questions = []
    for _ in 0..<questionCount {
      questions.append(Question(name: try reader.name(), type: try reader.uint16(), recordClass: try reader.uint16()))
    }
    answers = try reader.records(answerCount)
    authority = try reader.records(authorityCount)
    additional = (try? reader.records(additionalCount)) ?? []
  }
}

/// A cursor over a message. It never reads outside the bytes, and each of its loops has a bound that the bytes cannot move.
struct DNSReader {
  /// Each pointer of an honest name follows at least one label, and a name has at most 127.
  private static let maximumPointers = 127
  private static let headerLength = 12
  private static let classIN: UInt16 = 1

  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func uint16() throws(DNSMessageError) -> UInt16 {
    UInt16(try number(2))
  }

  mutating func uint32() throws(DNSMessageError) -> UInt32 {
    UInt32(try number(4))
  }

  private mutating func number(_ length: Int) throws(DNSMessageError) -> UInt128 {
    guard bytes.count - offset >= length else { throw .truncated }
    let value = bytes[offset..<(offset + length)].reduce(0) { $0 << 8 | UInt128($1) }
    offset += length
    return value
  }

  /// A name, perhaps compressed (RFC 1035 section 4.1.4).
  ///
  /// A pointer must lead to before the run of labels it ends. So the runs' starts fall strictly, and no loop is possible.
  mutating func name() throws(DNSMessageError) -> WireName {
    var name = WireName.root
    var position = offset
    var runStart = offset
    var pointers = 0
    while position < bytes.count {
      let length = Int(bytes[position])
      switch length >> 6 {
      case 0b00:
        let next = position + 1 + length
        if length == 0 {
          if pointers == 0 { offset = next }
          return name
        }
        guard next <= bytes.count else { throw .truncated }
        guard name.append(label: bytes[(position + 1)..<next]) else { throw .nameTooLong }
        position = next
      case 0b11:
        guard position + 1 < bytes.count else { throw .truncated }
        let target = (length & 0x3F) << 8 | Int(bytes[position + 1])
        guard target < runStart, target >= Self.headerLength else { throw .pointerNotBackward }
        if pointers == 0 { offset = position + 2 }
        pointers += 1
        guard pointers <= Self.maximumPointers else { throw .tooManyPointers }
        runStart = target
        position = target
      default:
        throw .reservedLabelType
      }
    }
    throw .truncated
  }

  /// RFC 1035 section 3.3: a length octet and as many bytes.
  private mutating func characterString(end: Int) throws(DNSMessageError) -> String {
    let next = offset + 1 + Int(bytes[offset])
    guard next <= end else { throw .recordLength }
    defer { offset = next }
    return String(decoding: bytes[(offset + 1)..<next], as: UTF8.self)
  }

  mutating func records(_ count: UInt16) throws(DNSMessageError) -> [ResourceRecord] {
    var records: [ResourceRecord] = []
    for _ in 0..<count { records.append(try record()) }
    return records
  }

  private mutating func record() throws(DNSMessageError) -> ResourceRecord {
    let owner = try name()
    let type = try uint16()
    let recordClass = try uint16()
    let timeToLive = try uint32()
    let length = Int(try uint16())
    let end = offset + length
    guard end <= bytes.count else { throw .truncated }
    let data = try recordData(type: type, recordClass: recordClass, end: end)
    guard offset == end else { throw .recordLength }
    // RFC 2181 section 8: a TTL with the top bit set counts as zero.
    return ResourceRecord(owner: owner, timeToLive: timeToLive > Int32.max ? 0 : timeToLive, data: data)
  }

  private mutating func recordData(type: UInt16, recordClass: UInt16, end: Int) throws(DNSMessageError) -> RecordData {
    guard recordClass == Self.classIN, let known = RecordType(rawValue: type) else {
      offset = end
      return .other(type: type)
    }
    switch known {
    case .a:
      guard end - offset == 4 else { throw .recordLength }
      return .address(.v4(try uint32()))
    case .aaaa:
      guard end - offset == 16 else { throw .recordLength }
      return .address(.v6(IPv6Number(try number(16))))
    case .ns:
      return .nameServer(try name())
    case .cname:
      return .alias(try name())
    case .soa:
      // Primary server, mailbox, serial, refresh, retry, expire, minimum.
      _ = try name()
      _ = try name()
      for _ in 0..<4 { _ = try uint32() }
      return .startOfAuthority(minimum: try uint32())
    case .srv:
      let (priority, weight, port) = (try uint16(), try uint16(), try uint16())
      return .service(ServiceRecord(priority: priority, weight: weight, port: port, target: try name()))
    case .txt:
      var strings: [String] = []
      while offset < end { strings.append(try characterString(end: end)) }
      return .text(strings)
    }
  }
}
