/// A name a person chose: comparable, printable, and never mixed up with a name of another kind.
package protocol Name: RawRepresentable<String>, Hashable, Comparable, Sendable, CustomStringConvertible,
  ExpressibleByStringLiteral
{
  init(_ rawValue: String)
}

extension Name {
  package init(rawValue: String) { self.init(rawValue) }
  package init(stringLiteral value: String) { self.init(value) }
  package var description: String { rawValue }
  package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  /// Whether a person, or DNS, may call something this: it fits into a URL path, a metric label and a table column without escapes, and
  /// is not mistaken for `address:port`. "." and ".." would be steps of a path.
  package static func isWellFormed(_ text: some StringProtocol) -> Bool {
    let allowed = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    return allowed && (1...253).contains(text.utf8.count) && text != "." && text != ".."
  }
}

/// A failover group: `app-servers`.
package struct GroupName: Name {
  package let rawValue: String
  package init(_ rawValue: String) { self.rawValue = rawValue }
}

/// A backend as people and the API name it: a configured id, `domain:address:port` when DNS found it, or `address:port`.
package struct BackendID: Name {
  package let rawValue: String
  package init(_ rawValue: String) { self.rawValue = rawValue }

  /// The contract's id of a discovered backend: `db.example.com:10.0.0.1:5432`, `db.example.com:[::1]:5432`.
  package init(domain: DomainName, address: SocketAddress) {
    // Copied once more: what interpolation leaves behind has room for twice the text, and there are tens of thousands.
    self.init(String(decoding: Array("\(domain):\(address)".utf8), as: UTF8.self))
  }
}

package struct ListenerName: Name {
  package let rawValue: String
  package init(_ rawValue: String) { self.rawValue = rawValue }
}

/// A DNS name in lower case without a trailing dot, so that equal names are equal values.
package struct DomainName: Name {
  package let rawValue: String
  package init(_ rawValue: String) {
    let lowered = rawValue.lowercased()
    self.rawValue = lowered.hasSuffix(".") && lowered.count > 1 ? String(lowered.dropLast()) : lowered
  }
}

/// One backend in one group. Health and role are facts about this pair: two groups may ask the same server different questions.
package struct MemberKey: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let group: GroupName
  package let backend: BackendID

  package init(group: GroupName, backend: BackendID) {
    self.group = group
    self.backend = backend
  }

  package var description: String { "\(group)/\(backend)" }
  package static func < (a: MemberKey, b: MemberKey) -> Bool { (a.group, a.backend) < (b.group, b.backend) }
}
