import Model

/// Where the addresses of a configured name come from.
enum NameSource: Hashable, Sendable {
  /// The name is an address and its own answer.
  case literal(IPAddress)
  /// `localhost` and names below it: the hosts file, else the loopback addresses, and never DNS (RFC 6761 section 6.3).
  case localhost
  /// A name of one label: the hosts file, else DNS, one after the other until one exists: below each of the search domains, then as
  /// it is. Containers and small hosts name their neighbours this way.
  case plain([WireName])
  /// DNS only. A name with a dot is taken as complete.
  case dns(WireName)

  /// Typed `throws` rather than an optional, because a person has to mend the name.
  ///
  /// - Parameter searchDomains: those of the configuration. Never those of resolv.conf: the answers would depend on the host's.
  init(_ domain: DomainName, searching searchDomains: [DomainName] = []) throws(NameError) {
    let text = domain.rawValue
    if let address = IPAddress(text) {
      self = .literal(address)
      return
    }
    let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard labels.allSatisfy({ !$0.isEmpty }), let last = labels.last else { throw .emptyLabel }
    guard labels.allSatisfy({ $0.count <= WireName.maximumLabel }) else { throw .labelTooLong }
    guard labels.allSatisfy({ $0.allSatisfy(Self.isAllowed) }) else { throw .forbiddenCharacter }
    // `10.0.0.256` and `10.1` are addresses that someone mistyped; no top-level domain is a number.
    guard !last.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { throw .malformedAddress }
    guard let name = WireName(text) else { throw .tooLong }
    if last.elementsEqual("localhost".utf8) {
      self = .localhost
    } else {
      let found = searchDomains.compactMap { WireName("\(text).\($0)") }
      self = labels.count == 1 ? .plain(found + [name]) : .dns(name)
    }
  }

  /// Host names and the underscore of service names. Everything else is either a mistake or needs Punycode.
  static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
    default: false
    }
  }
}

enum NameError: Error, Hashable, Sendable, CustomStringConvertible {
  case emptyLabel
  case labelTooLong
  case tooLong
  case forbiddenCharacter
  case malformedAddress

  var description: String {
    switch self {
    case .emptyLabel: "the name or one of its labels is empty"
    case .labelTooLong: "a label has more than 63 characters"
    case .tooLong: "the name has more than 253 characters"
    case .forbiddenCharacter: "only letters, digits, '-', '_' and '.' are allowed; write other scripts in Punycode (xn--…)"
    case .malformedAddress: "the name ends in a number but is not an IP address"
    }
  }
}
