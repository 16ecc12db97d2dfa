import Model

/// An item of `failover_groups`.
struct GroupDeclaration: Sendable {
  var name: Located<GroupName>?
  var mode: Located<GroupMode>?
  var backends: [Located<String>] = []
  var primary: Located<String>?
  /// The keys that are not in the file, as opposed to those that are and could not be read.
  var omitted: Set<Key>
  /// `backends: []`.
  var listsNothing = false
  var settings = GroupSettings()

  enum Key: String, CaseIterable {
    case mode, backends, primary
  }

  /// For a group that only `dns_backends` names.
  static let defaults = GroupDeclaration(omitted: Set(Key.allCases))
}

private enum FailbackKind: String, CaseIterable {
  case manual, automatic
}

extension Format<GroupDeclaration> {
  static var group: Self {
    .mapping(.group) { map in
      let mode: Located<GroupMode>? = map.value("mode", .choice("a mode"))
      return GroupDeclaration(
        name: map.required("name", .name(), example: "app-servers"),
        mode: mode,
        backends: map.value("backends", .list(of: .string))?.value ?? [],
        primary: map.value("primary", .string),
        omitted: Set(GroupDeclaration.Key.allCases.filter { !map.has($0.rawValue) }),
        listsNothing: map.listIsEmpty("backends"),
        settings: settings(map, mode: mode?.value))
    }
  }

  private static func settings(_ map: Mapping, mode: GroupMode?) -> GroupSettings {
    let usual = SharedSettings.usual.value
    let upToADay = Format<Duration>.duration(.zero ... .days(1))
    return GroupSettings(
      balance: map.value("balance", .choice("a balance"))?.value ?? usual.balance,
      failback: failback(map),
      minimumInterval: map.value("minimum_interval", upToADay)?.value ?? usual.minimumInterval,
      maximumFailovers: map.value("maximum_failovers", .failoverLimit)?.value,
      pin: pin(map, mode: mode),
      zoneAffinity: map.value("zone_affinity", .boolean)?.value ?? usual.zoneAffinity,
      slowStart: map.value("slow_start", .duration(.zero ... .hours(1)))?.value ?? usual.slowStart,
      shadow: map.value("shadow", .boolean)?.value ?? usual.shadow,
      holdTimeout: map.value("hold_timeout", .duration(.zero ... .minutes(10)))?.value ?? usual.holdTimeout,
      drainTimeout: map.value("drain_timeout", upToADay)?.value ?? usual.drainTimeout,
      connections: UpstreamConnections(
        maximum: map.value("maximum_connections", .integer(1...1_000_000))?.value,
        hedge: map.value("connect_hedge", .duration(.zero ... .seconds(10)))?.value ?? usual.connections.hedge,
        proxyProtocol: map.value("proxy_protocol", .choice("a version"))?.value),
      allowedRanges: map.value("allowed_cidrs", .list(of: .addressRange))?.value.map(\.value) ?? [],
      check: map.value("health_check", .healthCheck)?.value ?? usual.check)
  }

  private static func failback(_ map: Mapping) -> GroupSpecification.Failback {
    let kind: Located<FailbackKind>? = map.value("failback", .choice("a kind of failback"))
    let after = map.value("failback_after", .duration(.zero ... .days(7)))
    if kind?.value == .automatic { return .automatic(after: after?.value ?? .minutes(5)) }
    if let after {
      map.reader.error(
        "'failback_after' has no meaning without failback: automatic", "add failback: automatic, or remove it", at: after.position)
    }
    return .manual
  }

  /// Where there is no primary, nothing can be held fast.
  private static func pin(_ map: Mapping, mode: GroupMode?) -> Bool {
    let pin = map.value("pin", .boolean)
    if let pin, pin.value, mode == .normal {
      map.reader.error(
        "'pin' has no meaning in a group of mode normal", "remove it, or write mode: active-passive", at: pin.position)
    }
    return pin?.value ?? false
  }
}

extension Format<FailoverLimit> {
  static var failoverLimit: Self {
    .mapping(.other) { map in
      let count = map.required("count", .integer(1...1000), example: "4")
      let within = map.required("within", .duration(.seconds(1) ... .days(7)), example: "10m")
      guard let count, let within else { return nil }
      return FailoverLimit(count: count.value, within: within.value)
    }
  }
}
