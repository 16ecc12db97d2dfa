import Model

/// An item of `dns_backends` or `dns_backend_strings`: an endpoint whose host is a name, or, in the short form, an address.
///
/// What is nil was not stated: there DNS may have a word (`txt: true`).
struct DNSBackendDeclaration: Sendable {
  /// Its place among those of the file's items that are entries: names, whose port can be read.
  var number = 0
  var host: Endpoint.Host
  var record: RecordKind
  var proto: BackendProtocol
  var origin: DNSEntry.Origin
  var weight: Int?
  var isPrimary: Located<Bool>?
  var group: Located<GroupName>?
  var zone: String?
  var lookupTimeout: Duration = .seconds(5)
  var maximumInterval: Duration?
  var ttl: Duration?
  var readsText = false

  /// The group's name where `group_name` does not give one.
  var ownGroup: GroupName {
    switch host {
    case .domain(let domain, _), .unreadable(let domain): GroupName(domain.rawValue)
    case .address(.ip(let address, _)): GroupName(address.description)
    case .address(.unix(let path)): GroupName(path)
    }
  }

  var domain: DomainName? {
    switch host {
    case .domain(let domain, _), .unreadable(let domain): domain
    case .address: nil
    }
  }

  var port: UInt16? {
    switch host {
    case .domain(_, let port): port
    case .address(let address): address.port
    case .unreadable: nil
    }
  }

  /// Nil for an address, and where the port is wrong.
  var entry: DNSEntry? {
    guard case .domain(let domain, let port) = host else { return nil }
    return DNSEntry(
      domain: domain, record: record, proto: proto, port: port, weight: weight, isPrimary: isPrimary?.value, group: group?.value,
      zone: zone, lookupTimeout: lookupTimeout, maximumInterval: maximumInterval, ttl: ttl, readsText: readsText, origin: origin)
  }
}

extension RecordKind {
  /// What a name is asked for when the file does not say: only services begin with an underscore (RFC 2782).
  init(defaultFor domain: DomainName) { self = domain.rawValue.hasPrefix("_") ? .srv : .address }
}

extension Format<DNSBackendDeclaration> {
  static func dnsBackend(origin: DNSEntry.Origin) -> Self {
    .mapping(.other) { map in
      let domain = map.required("domain", .domainName, example: "db.example.com")
      let stated = map.value("record", .choice("a kind of record") as Format<RecordKind>)?.value
      let record = stated ?? domain.map { RecordKind(defaultFor: $0.value) } ?? .address
      // A record that could not be read may have been the one that needs no port.
      let needsPort = record == .address && (stated != nil || !map.has("record"))
      let port = needsPort ? map.required("port", .port, example: "5432") : map.value("port", .port)
      let proto = map.value("protocol", .choice("a known protocol") as Format<BackendProtocol>)?.value ?? .tcp
      let weight = map.value("weight", .integer(0...65535))?.value
      let isPrimary = map.value("is_primary", .boolean)
      let group = map.value("group_name", .name() as Format<GroupName>)
      let zone = map.value("zone", .string)?.value
      let timeout = map.value("resolution_timeout", .duration(.milliseconds(10) ... .minutes(1)))?.value
      let interval = map.value("resolution_interval", .duration(.milliseconds(100) ... .days(1)))?.value
      let ttl = map.value("ttl", .duration(.milliseconds(100) ... .days(7)))?.value
      let readsText = map.value("txt", .boolean)?.value ?? false
      guard let domain else { return nil }
      let isReadable = port != nil || (record == .srv && !map.has("port"))
      return DNSBackendDeclaration(
        host: isReadable ? .domain(domain.value, port: port?.value) : .unreadable(domain.value), record: record, proto: proto,
        origin: origin, weight: weight, isPrimary: isPrimary, group: group, zone: zone, lookupTimeout: timeout ?? .seconds(5),
        maximumInterval: interval, ttl: ttl, readsText: readsText)
    }
  }

  static var dnsBackendString: Self {
    Format<Endpoint>.endpoint.map { endpoint in
      var record = RecordKind.address
      if case .domain(let domain, _) = endpoint.host { record = RecordKind(defaultFor: domain) }
      return DNSBackendDeclaration(host: endpoint.host, record: record, proto: endpoint.proto, origin: .string)
    }
  }
}
