/// A record type by its number. The tests speak DNS without the parser they test, so they have their own.
package struct DNSType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let a = DNSType(rawValue: 1)
  package static let ns = DNSType(rawValue: 2)
  package static let cname = DNSType(rawValue: 5)
  package static let soa = DNSType(rawValue: 6)
  package static let txt = DNSType(rawValue: 16)
  package static let aaaa = DNSType(rawValue: 28)
  package static let srv = DNSType(rawValue: 33)

  private static let names: [DNSType: String] = [
    .a: "A", .ns: "NS", .cname: "CNAME", .soa: "SOA", .txt: "TXT", .aaaa: "AAAA", .srv: "SRV",
  ]

  /// As zone files write it.
  package var description: String { Self.names[self] ?? "TYPE\(rawValue)" }
}
