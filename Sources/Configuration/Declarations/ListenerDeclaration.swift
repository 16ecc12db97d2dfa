import Model

/// An item of `listeners`.
struct ListenerDeclaration: Sendable {
  var name: Located<ListenerName>?
  var address: Located<SocketAddress>?
  var group: Located<GroupName>?
  var role: ListenerRole?
  var limits = ListenerLimits()
}

extension Format<ListenerDeclaration> {
  static var listener: Self {
    .mapping(.other) { map in
      ListenerDeclaration(
        name: map.required("name", .name(), example: "pg"),
        address: map.required("address", .listenAddress(example: "127.0.0.1:5432"), example: "\"127.0.0.1:5432\""),
        // Names of groups that stand for an address are no names a person chose.
        group: map.required("group", Format<String>.string.map { GroupName($0) }, example: "postgres-cluster"),
        role: map.value("role", .choice("a role"))?.value,
        limits: ListenerLimits(
          idleTimeout: map.value("idle_timeout", .duration(.milliseconds(100) ... .days(7)))?.value,
          maximumDuration: map.value("maximum_duration", .duration(.seconds(1) ... .days(365)))?.value,
          maximumConnections: map.value("maximum_connections", .integer(1...1_000_000))?.value))
    }
  }
}
