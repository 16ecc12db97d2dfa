import Model

/// What a group is set to, apart from its name, its mode and who is in it.
struct GroupSettings: Hashable, Sendable {
  var balance = Balance.roundRobin
  var failback = GroupSpecification.Failback.manual
  var minimumInterval = Duration.seconds(10)
  var maximumFailovers: FailoverLimit?
  var pin = false
  var zoneAffinity = false
  var slowStart = Duration.zero
  var shadow = false
  var holdTimeout = Duration.seconds(10)
  var drainTimeout = Duration.seconds(30)
  /// A second connect after 250 ms, as RFC 8305 recommends between two addresses of one host: well before a lost SYN is sent again.
  var connections = UpstreamConnections(hedge: .milliseconds(250))
  var allowedRanges: [AddressRange] = []
  var check = HealthCheckDeclaration()

  /// One for each protocol, in the order of `BackendProtocol.allCases`.
  fileprivate var checks: [HealthCheck] {
    guard let header = connections.proxyProtocol else { return check.checks }
    return check.checks.map { check in
      var check = check
      check.proxyProtocol = header
      return check
    }
  }
}

/// Settings as the groups hold them: one for all groups that are set alike, with one check for all members of a protocol.
///
/// A class because thousands of groups and tens of thousands of members refer to it and to its checks.
final class SharedSettings: Sendable {
  let value: GroupSettings
  /// In the order of `BackendProtocol.allCases`.
  private let checks: [HealthCheck]

  /// For groups that only `dns_backends`, DNS or the API name.
  static let usual = SharedSettings(GroupSettings())

  convenience init(_ value: GroupSettings) { self.init(value, checks: value.checks) }

  private init(_ value: GroupSettings, checks: [HealthCheck]) {
    self.value = value
    self.checks = checks
  }

  func check(for proto: BackendProtocol) -> HealthCheck {
    BackendProtocol.allCases.firstIndex(of: proto).map { checks[$0] } ?? value.check.check(for: proto)
  }

  /// Finds what is equal while a file is resolved.
  final class Pool {
    private var settings = [SharedSettings.usual.value: SharedSettings.usual]
    private var checks = [SharedSettings.usual.value.check: SharedSettings.usual.checks]

    func shared(_ value: GroupSettings) -> SharedSettings {
      if let known = settings[value] { return known }
      if value.connections.proxyProtocol != nil {
        let new = SharedSettings(value)
        settings[value] = new
        return new
      }
      let checks = checks[value.check] ?? value.checks
      let new = SharedSettings(value, checks: checks)
      self.checks[value.check] = checks
      settings[value] = new
      return new
    }
  }
}
