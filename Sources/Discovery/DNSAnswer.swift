import Model

/// What a response says about one question, once it is known to be an answer to it.
///
/// Failure is not a case: whatever neither names records nor denies them with authority is thrown as an `AnswerError`,
/// because only `empty` may ever remove a backend.
enum DNSAnswer: Hashable, Sendable {
  /// The wanted records at the end of the alias chain. The TTL is the smallest of the whole chain: an alias that may
  /// change in a second makes all behind it as short-lived (envoy#28925). `additional` are the addresses of the targets of SRV
  /// records that the server sent along.
  case records([RecordData], timeToLive: UInt32, additional: [ResourceRecord] = [])
  /// The name, or this type at the name, does not exist. `timeToLive` is nil when the answer carries no SOA.
  case empty(Denial, timeToLive: UInt32?)

  enum Denial: String, Hashable, Sendable {
    case noSuchName = "NXDOMAIN"
    case noSuchRecord = "NODATA"
  }
}

/// Why a well-formed or broken response is no answer.
enum AnswerError: Error, Hashable, Sendable {
  case malformed(DNSMessageError)
  /// c-ares did not hand it over.
  case unreadable
  /// Not a response, not one question, or not ours.
  case mismatch
  /// Cut off even over TCP.
  case truncated
  case formatError
  case serverFailure
  case refused
  case notImplemented
  case otherCode(UInt8)
  case aliasLoop
  case aliasChainTooLong
  /// NXDOMAIN and records of the name in one message.
  case contradiction
  /// The server neither is the authority nor recurses: it points elsewhere, and knows nothing.
  case referral

  var failure: DNSFailure {
    switch self {
    case .malformed, .unreadable, .mismatch, .truncated, .aliasLoop, .aliasChainTooLong, .contradiction: .malformed
    case .serverFailure: .serverFailure
    case .refused: .refused
    case .formatError, .notImplemented, .otherCode, .referral: .other
    }
  }

  /// What to tell a person beyond the failure's name.
  var detail: String {
    switch self {
    case .malformed(let error): "not a DNS message: \(error)"
    case .unreadable: "not a DNS message"
    case .mismatch: "the response does not belong to the question"
    case .truncated: "the response is cut off even over TCP"
    case .formatError: "FORMERR"
    case .serverFailure: "SERVFAIL"
    case .refused: "REFUSED"
    case .notImplemented: "NOTIMP"
    case .otherCode(let code): "response code \(code)"
    case .aliasLoop: "the CNAME chain is a loop"
    case .aliasChainTooLong: "the CNAME chain has more than \(DNSAnswer.maximumAliases) links"
    case .contradiction: "NXDOMAIN with records of the name"
    case .referral: "the server refers to others instead of answering"
    }
  }
}

extension DNSAnswer {
  static let maximumAliases = 11

  init(parsing bytes: [UInt8], name: WireName, type: RecordType) throws(AnswerError) {
    let message: DNSMessage
    do { message = try DNSMessage(parsing: bytes) } catch { throw .malformed(error) }
    try self.init(message, name: name, type: type)
  }

  init(_ message: DNSMessage, name: WireName, type: RecordType) throws(AnswerError) {
    let question = DNSMessage.Question(name: name, type: type.rawValue, recordClass: 1)
    guard message.header.isResponse, message.header.opcode == 0, message.questions == [question] else { throw .mismatch }
    switch message.header.code {
    case .noError, .nameError: break
    case .formatError: throw .formatError
    case .serverFailure: throw .serverFailure
    case .notImplemented: throw .notImplemented
    case .refused: throw .refused
    case .other(let code): throw .otherCode(code)
    }
    guard !message.header.isTruncated else { throw .truncated }

    let chain = try AliasChain(from: name, in: message.answers)
    let found = message.answers.filter { $0.owner == chain.end && $0.data.type == type }
    if found.isEmpty {
      // Records of the wanted type at another name: whatever this answers, it does not deny ours.
      guard !message.answers.contains(where: { $0.data.type == type }) else { throw .mismatch }
      self = try .denial(in: message, behind: chain)
    } else if message.header.code == .nameError {
      throw .contradiction
    } else {
      let timeToLive = found.reduce(chain.timeToLive) { min($0, $1.timeToLive) }
      self = .records(found.map(\.data), timeToLive: timeToLive, additional: message.addresses(ofTargetsIn: found))
    }
  }

  /// Tells an authoritative "no" from a server that does not know (RFC 2308 section 2).
  private static func denial(in message: DNSMessage, behind chain: AliasChain) throws(AnswerError) -> DNSAnswer {
    let header = message.header
    let denial = header.code == .nameError ? Denial.noSuchName : .noSuchRecord
    for record in message.authority {
      if case .startOfAuthority(let minimum) = record.data {
        return .empty(denial, timeToLive: min(record.timeToLive, minimum, chain.timeToLive))
      }
    }
    let delegates = message.authority.contains { if case .nameServer = $0.data { true } else { false } }
    // Without recursion an alias that ends outside the server's zones says nothing about its target.
    let vouches = header.recursionAvailable || (header.isAuthoritative && chain.length == 0)
    guard vouches, denial == .noSuchName || !delegates else { throw .referral }
    return .empty(denial, timeToLive: nil)
  }
}

extension DNSMessage {
  /// Addresses of the additional section, as far as an answered SRV record asks for them: nothing else there is of interest, and what
  /// is not taken cannot mislead.
  fileprivate func addresses(ofTargetsIn records: [ResourceRecord]) -> [ResourceRecord] {
    var targets: Set<WireName> = []
    for case .service(let service) in records.map(\.data) { targets.insert(service.target) }
    if targets.isEmpty { return [] }
    return additional.filter { record in
      if case .address = record.data { targets.contains(record.owner) } else { false }
    }
  }
}

/// The path from the asked name along CNAME records.
private struct AliasChain {
  private(set) var end: WireName
  private(set) var length = 0
  private(set) var timeToLive = UInt32.max

  init(from name: WireName, in records: [ResourceRecord]) throws(AnswerError) {
    end = name
    var aliases: [WireName: (target: WireName, timeToLive: UInt32)] = [:]
    for record in records {
      // Two aliases at one name are an error of the zone; the first stands.
      guard case .alias(let target) = record.data, aliases[record.owner] == nil else { continue }
      aliases[record.owner] = (target, record.timeToLive)
    }
    var seen: Set<WireName> = [name]
    while let alias = aliases[end] {
      guard seen.insert(alias.target).inserted else { throw .aliasLoop }
      length += 1
      guard length <= DNSAnswer.maximumAliases else { throw .aliasChainTooLong }
      timeToLive = min(timeToLive, alias.timeToLive)
      end = alias.target
    }
  }
}

extension RecordData {
  fileprivate var type: RecordType? {
    switch self {
    case .address(.v4): .a
    case .address(.v6): .aaaa
    case .alias: .cname
    case .nameServer: .ns
    case .startOfAuthority: .soa
    case .service: .srv
    case .text: .txt
    case .other: nil
    }
  }
}
