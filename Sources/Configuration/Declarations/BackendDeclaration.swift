import Model

/// An item of `backends`. What could not be read is nil, so that references to the id are not reported as well.
struct BackendDeclaration: Sendable {
  var id: Located<BackendID>?
  var address: SocketAddress?
  var proto: BackendProtocol
  var weight: Int
  var zone: String?

  /// Nil when a part of it could not be read.
  var specification: BackendSpecification? {
    guard let id, let address else { return nil }
    return BackendSpecification(id: id.value, address: address, proto: proto, weight: weight, zone: zone)
  }
}

extension Format<BackendDeclaration> {
  static var backend: Self {
    .mapping(.other) { map in
      let id = map.required("id", .name() as Format<BackendID>, example: "backend1")
      let ip = map.required("address", .ipAddress, example: "10.0.0.1")
      let port = map.required("port", .port, example: "80")
      return BackendDeclaration(
        id: id,
        address: ip.flatMap { ip in port.map { .ip(ip.value, port: $0.value) } },
        proto: map.value("protocol", .choice("a known protocol"))?.value ?? .tcp,
        weight: map.value("weight", .integer(0...65535))?.value ?? 1,
        zone: map.value("zone", .string)?.value)
    }
  }
}
