import Model

/// An item of `dns_backends` or `dns_backend_strings`: an endpoint whose host is a name, or, in the short form, an address.
struct DNSBackendDeclaration: Sendable {
  var host: Endpoint.Host
  var proto: BackendProtocol
  var weight = 1
  var isPrimary: Located<Bool>?
  var group: Located<GroupName>?
  var zone: String?
  var lookupTimeout: Duration = .seconds(5)
  var maximumInterval: Duration?
  var ttl: Duration?

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
}

private enum RecordKind: String, CaseIterable {
  case address
}

extension Format<DNSBackendDeclaration> {
  static var dnsBackend: Self {
    .mapping(.dnsBackend) { map in
      let domain = map.required("domain", .domainName, example: "db.example.com")
      let record = map.value("record", .choice("a kind of record", notYet: NotYet.records) as Format<RecordKind>)
      if let domain, domain.value.rawValue.hasPrefix("_"), !map.has("record") {
        map.reader.error(
          "'record: srv', the default of names that begin with '_', is not supported by this version yet",
          "add record: address, or name the hosts themselves", at: domain.position)
      }
      _ = record
      let port = map.required("port", .port, example: "5432")
      let proto = map.value("protocol", .choice("a known protocol") as Format<BackendProtocol>)?.value ?? .tcp
      let weight = map.value("weight", .integer(0...65535))?.value ?? 1
      let isPrimary = map.value("is_primary", .boolean)
      let group = map.value("group_name", .name() as Format<GroupName>)
      let zone = map.value("zone", .string)?.value
      let timeout = map.value("resolution_timeout", .duration(.milliseconds(10) ... .minutes(1)))?.value
      let interval = map.value("resolution_interval", .duration(.milliseconds(100) ... .days(1)))?.value
      let ttl = map.value("ttl", .duration(.milliseconds(100) ... .days(7)))?.value
      guard let domain else { return nil }
      return DNSBackendDeclaration(
        host: port.map { .domain(domain.value, port: $0.value) } ?? .unreadable(domain.value), proto: proto, weight: weight,
        isPrimary: isPrimary, group: group,
        zone: zone, lookupTimeout: timeout ?? .seconds(5), maximumInterval: interval, ttl: ttl)
    }
  }

  static var dnsBackendString: Self {
    Format<Endpoint>.endpoint.map { DNSBackendDeclaration(host: $0.host, proto: $0.proto) }
  }
}
