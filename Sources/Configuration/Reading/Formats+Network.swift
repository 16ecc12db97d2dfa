import Model

extension Format<DomainName> {
  static var domainName: Self {
    Format(expected: "a DNS name") { text throws(Complaint) in
      guard IPAddress(text.value) == nil else {
        throw Complaint("\(text.shown) is an address, not a DNS name", "declare it under backends")
      }
      return try LebaConfiguration.domainName(text)
    }
  }
}

extension Format<IPAddress> {
  /// The address of a server, without its port.
  static var ipAddress: Self {
    Format(expected: "an IP address") { text throws(Complaint) in
      if let address = IPAddress(text.value) {
        guard address.isUnicast else { throw Complaint("\(text.shown) is not the address of a server", "write the address of one") }
        return address
      }
      if socketAddress(text.value) != nil {
        throw Complaint("\(text.shown) is an address with a port", "write the port under port")
      }
      throw Complaint("\(text.shown) is not an IP address", "write one, for example 10.0.0.1; names go under dns_backends")
    }
  }
}

extension Format {
  /// Where a socket listens.
  static func listenAddress(example: String) -> Self where Output == SocketAddress {
    Format(expected: "an address with a port, or unix:PATH") { text throws(Complaint) in
      guard let address = socketAddress(text.value) else {
        throw Complaint("\(text.shown) is not an address to listen on", "write \(example), [::1]:PORT or unix:/PATH")
      }
      if case .ip(let ip, _) = address, ip.isMulticast {
        throw Complaint("\(text.shown) is a multicast address", "write \(example)")
      }
      return address
    }
  }
}

extension Format<SocketAddress> {
  /// A name server; port 53 unless another is given.
  static var nameServer: Self {
    Format(expected: "an address, for example 127.0.0.1:53") { text throws(Complaint) in
      let address = IPAddress(text.value).map { SocketAddress.ip($0, port: 53) } ?? socketAddress(text.value)
      guard case .ip(let ip, _)? = address, let address, ip.isUnicast else {
        throw Complaint("\(text.shown) is not the address of a name server", "write for example 127.0.0.1:53 or [::1]:53")
      }
      return address
    }
  }
}

extension Format<AddressRange> {
  static var addressRange: Self {
    Format(expected: "a range of addresses, for example 10.0.0.0/8") { text throws(Complaint) in
      // `AddressRange` leaves signs to `Int`.
      let length = text.value.split(separator: "/", omittingEmptySubsequences: false).last
      guard let length, wholeNumber(length) != nil, let range = AddressRange(text.value) else {
        throw Complaint("\(text.shown) is not a range of addresses", "write for example 10.0.0.0/8 or fd00::/8")
      }
      return range
    }
  }
}

extension Format<Endpoint> {
  /// `host:port` or `host:port/protocol`, where the host is a DNS name or an address.
  static var endpoint: Self {
    Format(expected: "host:port/protocol") { text throws(Complaint) in
      let malformed = Complaint(
        "\(text.shown) is not host:port/protocol", "write for example api.example.com:80/http or [::1]:5432/postgres")
      let parts = text.value.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count <= 2 else { throw malformed }
      var proto = BackendProtocol.tcp
      if parts.count == 2 {
        guard let known = BackendProtocol(rawValue: String(parts[1])) else {
          let all = BackendProtocol.allCases.map(\.rawValue).joined(separator: ", ")
          throw Complaint("\(text.shown) ends in an unknown protocol", "use one of \(all)")
        }
        proto = known
      }
      if let address = socketAddress(String(parts[0])), case .ip(let ip, _) = address {
        guard ip.isUnicast else { throw Complaint("\(text.shown) is not the address of a server", "write the address of one") }
        return Endpoint(host: .address(address), proto: proto)
      }
      guard let colon = parts[0].lastIndex(of: ":") else { throw malformed }
      guard let port = portNumber(parts[0][parts[0].index(after: colon)...]) else {
        throw Complaint("\(text.shown) has no valid port", "write a whole number from 1 to 65535 after the colon")
      }
      let domain = try LebaConfiguration.domainName(Text(showing: text, value: String(parts[0][..<colon])))
      return Endpoint(host: .domain(domain, port: port), proto: proto)
    }
  }
}

/// One entry of `dns_backend_strings`.
struct Endpoint: Sendable {
  enum Host: Sendable {
    /// `port` is nil where the records name it (SRV) and the file does not.
    case domain(DomainName, port: UInt16?)
    case address(SocketAddress)
    /// A domain whose port is wrong or missing: known, so that references to it are not reported as well.
    case unreadable(DomainName)
  }

  let host: Host
  let proto: BackendProtocol
}

/// As `SocketAddress(text)`, but without a sign before the port and without port 0, on which nobody can be reached.
func socketAddress(_ text: String) -> SocketAddress? {
  guard let address = SocketAddress(text) else { return nil }
  if case .ip = address {
    guard let port = text.split(separator: ":").last, portNumber(port) != nil else { return nil }
  }
  return address
}

/// RFC 1035 lengths; underscores are let through because real zones use them.
func domainName(_ text: Text) throws(Complaint) -> DomainName {
  guard text.value.utf8.allSatisfy({ $0 < 0x80 }) else {
    throw Complaint("\(text.shown) is not in ASCII", "write the name in its ASCII form (xn--…)")
  }
  let name = DomainName(text.value).rawValue
  let labels = name.split(separator: ".", omittingEmptySubsequences: false)
  for label in labels {
    guard !label.isEmpty else { throw Complaint("\(text.shown) is not a DNS name", "write names without empty labels") }
    guard label.utf8.count <= 63 else {
      throw Complaint("\(text.shown) has a label of more than 63 bytes", "write a name that DNS can hold")
    }
    guard label.allSatisfy({ $0.isLetter || isDigit($0) || $0 == "-" || $0 == "_" }), label.first != "-", label.last != "-" else {
      throw Complaint("\(text.shown) is not a DNS name", "use letters, digits and '-' between dots")
    }
  }
  guard name.utf8.count <= 253 else {
    throw Complaint("\(text.shown) is longer than 253 bytes", "write a name that DNS can hold")
  }
  // Top-level domains are never numbers; a resolver would take "10.1" for an address.
  guard let last = labels.last, !last.allSatisfy(isDigit) else {
    throw Complaint("\(text.shown) is not a DNS name", "write a name, or a full address under backends")
  }
  return DomainName(name)
}

extension IPAddress {
  var isLoopback: Bool {
    switch self {
    case .v4(let value): value >> 24 == 127
    case .v6(let value): value == 1
    }
  }

  /// `0.0.0.0` or `::`: every address of this host when listening, none when connecting.
  var isUnspecified: Bool {
    switch self {
    case .v4(let value): value == 0
    case .v6(let value): value == 0
    }
  }

  var isMulticast: Bool {
    switch self {
    case .v4(let value): value >> 28 == 0xE || value == .max
    case .v6(let value): value.number >> 120 == 0xFF
    }
  }

  /// Whether one server can have this address.
  var isUnicast: Bool { !isUnspecified && !isMulticast }
}
