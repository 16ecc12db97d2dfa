import Model

/// The record types discovery reads.
enum RecordType: UInt16, Hashable, Sendable {
  case a = 1
  case ns = 2
  case cname = 5
  case soa = 6
  case txt = 16
  case aaaa = 28
  case srv = 33

  var text: String {
    switch self {
    case .a: "A"
    case .ns: "NS"
    case .cname: "CNAME"
    case .soa: "SOA"
    case .txt: "TXT"
    case .aaaa: "AAAA"
    case .srv: "SRV"
    }
  }
}

/// A DNS message as far as discovery reads it (RFC 1035).
struct DNSMessage: Hashable, Sendable {
  struct Header: Hashable, Sendable {
    var id: UInt16
    var isResponse: Bool
    var opcode: UInt8
    var isAuthoritative: Bool
    var isTruncated: Bool
    var recursionAvailable: Bool
    var code: ResponseCode
  }

  struct Question: Hashable, Sendable {
    var name: WireName
    var type: UInt16
    var recordClass: UInt16
  }

  var header: Header
  var questions: [Question]
  var answers: [ResourceRecord]
  var authority: [ResourceRecord]
  /// A courtesy of the server, and taken as one: a section that cannot be read is as good as none.
  var additional: [ResourceRecord] = []
}

/// The low four bits of the header; EDNS's upper bits only refine codes that are failures anyway.
enum ResponseCode: Hashable, Sendable {
  case noError
  case formatError
  case serverFailure
  case nameError
  case notImplemented
  case refused
  case other(UInt8)

  init(_ bits: UInt8) {
    self =
      switch bits {
      case 0: .noError
      case 1: .formatError
      case 2: .serverFailure
      case 3: .nameError
      case 4: .notImplemented
      case 5: .refused
      default: .other(bits)
      }
  }
}

struct ResourceRecord: Hashable, Sendable {
  var owner: WireName
  var timeToLive: UInt32
  var data: RecordData
}

enum RecordData: Hashable, Sendable {
  case address(IPAddress)
  case alias(WireName)
  case nameServer(WireName)
  /// `minimum` bounds how long the absence of a name may be believed (RFC 2308).
  case startOfAuthority(minimum: UInt32)
  /// RFC 2782. The root as target says that the service is not offered.
  case service(ServiceRecord)
  /// The character-strings of a TXT record; what is not UTF-8 in them is replaced.
  case text([String])
  /// A type or class that discovery does not read; skipped by its length.
  case other(type: UInt16)
}

struct ServiceRecord: Hashable, Sendable {
  var priority: UInt16
  var weight: UInt16
  var port: UInt16
  var target: WireName
}

/// Why bytes are not a DNS message. Every case is something a server can send.
enum DNSMessageError: Error, Hashable, Sendable {
  case tooLong
  case truncated
  case reservedLabelType
  /// A compression pointer that does not lead backward, which a loop needs at least once.
  case pointerNotBackward
  case tooManyPointers
  case nameTooLong
  /// The record's length field and its contents disagree.
  case recordLength
}
