import Model

/// An item of `failover_groups`.
struct GroupDeclaration: Sendable {
  var name: Located<GroupName>?
  var mode: Located<GroupMode>?
  var backends: [Located<String>]
  var primary: Located<String>?
  /// The keys that are not in the file, as opposed to those that are and could not be read.
  var omitted: Set<Key>
  /// `backends: []`.
  var listsNothing: Bool
  var balance: Balance
  var failback: GroupSpecification.Failback
  var minimumInterval: Duration
  var holdTimeout: Duration
  var drainTimeout: Duration
  var allowedRanges: [AddressRange] = []
  var check: HealthCheckDeclaration

  enum Key: String, CaseIterable {
    case mode, backends, primary
  }

  /// For a group that only `dns_backends` names.
  static var defaults: GroupDeclaration {
    GroupDeclaration(
      backends: [], omitted: Set(Key.allCases), listsNothing: false, balance: .roundRobin, failback: .manual,
      minimumInterval: .seconds(10), holdTimeout: .seconds(10), drainTimeout: .seconds(30), check: HealthCheckDeclaration())
  }
}

private enum FailbackKind: String, CaseIterable {
  case manual, automatic
}

extension Format<GroupDeclaration> {
  static var group: Self {
    .mapping(.group) { map in
      let defaults = GroupDeclaration.defaults
      let upToADay = Format<Duration>.duration(.zero ... .days(1))
      return GroupDeclaration(
        name: map.required("name", .name(), example: "app-servers"),
        mode: map.value("mode", .choice("a mode")),
        backends: map.value("backends", .list(of: .string))?.value ?? [],
        primary: map.value("primary", .string),
        omitted: Set(GroupDeclaration.Key.allCases.filter { !map.has($0.rawValue) }),
        listsNothing: map.listIsEmpty("backends"),
        balance: map.value("balance", .choice("a balance", notYet: NotYet.balances))?.value ?? defaults.balance,
        failback: failback(map),
        minimumInterval: map.value("minimum_interval", upToADay)?.value ?? defaults.minimumInterval,
        holdTimeout: map.value("hold_timeout", .duration(.zero ... .minutes(10)))?.value ?? defaults.holdTimeout,
        drainTimeout: map.value("drain_timeout", upToADay)?.value ?? defaults.drainTimeout,
        allowedRanges: map.value("allowed_cidrs", .list(of: .addressRange))?.value.map(\.value) ?? [],
        check: map.value("health_check", .healthCheck)?.value ?? defaults.check)
    }
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
}
