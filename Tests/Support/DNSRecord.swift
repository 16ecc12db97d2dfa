/// A record of a test's zone, for the real name server and for the programmable one.
///
/// Names are as in zone files: relative to the zone, `@` for the zone itself, absolute with a dot at the end.
package struct DNSRecord: Hashable, Sendable {
  package enum Data: Hashable, Sendable {
    case v4(String)
    case v6(String)
    case alias(String)
    case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)
    case text([String])
  }

  package var name: String
  package var data: Data
  package var ttl: Int

  package var type: DNSType {
    switch data {
    case .v4: .a
    case .v6: .aaaa
    case .alias: .cname
    case .service: .srv
    case .text: .txt
    }
  }

  /// A or AAAA, as the address says.
  package static func a(_ name: String, _ address: String, ttl: Int = 1) -> DNSRecord {
    DNSRecord(name: name, data: address.contains(":") ? .v6(address) : .v4(address), ttl: ttl)
  }

  package static func cname(_ name: String, _ target: String, ttl: Int = 1) -> DNSRecord {
    DNSRecord(name: name, data: .alias(target), ttl: ttl)
  }

  /// A target of `.` says that the service is not offered.
  package static func srv(
    _ name: String, priority: UInt16 = 0, weight: UInt16 = 1, port: UInt16, target: String, ttl: Int = 1
  ) -> DNSRecord {
    DNSRecord(name: name, data: .service(priority: priority, weight: weight, port: port, target: target), ttl: ttl)
  }

  package static func txt(_ name: String, _ strings: String..., ttl: Int = 1) -> DNSRecord {
    DNSRecord(name: name, data: .text(strings), ttl: ttl)
  }

  /// The record as a line of a zone file.
  var zoneFileLine: String {
    let value =
      switch data {
      case .v4(let text), .v6(let text), .alias(let text): text
      case .service(let priority, let weight, let port, let target): "\(priority) \(weight) \(port) \(target)"
      case .text(let strings): strings.map(Self.quoted).joined(separator: " ")
      }
    return "\(name) \(ttl) \(type) \(value)\n"
  }

  private static func quoted(_ text: String) -> String {
    "\"" + text.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] } + "\""
  }

  /// The same record with names as messages carry them: whole, without the dot at the end.
  func absolute(in zone: String) -> DNSRecord {
    var record = self
    record.name = Self.absolute(name, in: zone)
    switch data {
    case .alias(let target):
      record.data = .alias(Self.absolute(target, in: zone))
    case .service(let priority, let weight, let port, let target):
      record.data = .service(priority: priority, weight: weight, port: port, target: Self.absolute(target, in: zone))
    case .v4, .v6, .text: break
    }
    return record
  }

  private static func absolute(_ name: String, in zone: String) -> String {
    if name == "@" { return zone }
    return name.hasSuffix(".") ? String(name.dropLast()) : "\(name).\(zone)"
  }
}
