import Model

/// A `health_check`: how to ask, and the kind of question where the file fixes it. Otherwise each member's protocol does.
struct HealthCheckDeclaration: Hashable, Sendable {
  enum Question: Hashable, Sendable {
    /// Nobody says: the protocol of the member does.
    case usual
    /// The keys of http without a type: inside TLS where the member speaks it.
    case http(HTTPCheck)
    case stated(HealthCheck.Kind)
  }

  var question = Question.usual
  var interval = Duration.milliseconds(300)
  var timeout = Duration.milliseconds(300)
  var healthyThreshold = 2
  var unhealthyThreshold = 2
  var predictive: Predictive?
  var sentinel = false

  func check(for proto: BackendProtocol) -> HealthCheck {
    var check = HealthCheck(
      kind: kind(for: proto), interval: interval, timeout: timeout, healthyThreshold: healthyThreshold,
      unhealthyThreshold: unhealthyThreshold)
    if sentinel { check.keepsSentinel = true }
    return check
  }

  /// One for each protocol, in the order of `BackendProtocol.allCases`; the same for all where the file fixes the question.
  var checks: [HealthCheck] {
    if case .stated = question { return Array(repeating: check(for: .tcp), count: BackendProtocol.allCases.count) }
    return BackendProtocol.allCases.map(check)
  }

  private func kind(for proto: BackendProtocol) -> HealthCheck.Kind {
    switch question {
    case .stated(let kind): return kind
    case .http(var check):
      check.tls = proto == .https ? TLSCheck() : nil
      return .http(check)
    case .usual: return Self.usualKind(for: proto)
    }
  }

  private static func usualKind(for proto: BackendProtocol) -> HealthCheck.Kind {
    switch proto {
    case .http: .http(HTTPCheck())
    case .https: .http(HTTPCheck(tls: TLSCheck()))
    case .tls: .tls(TLSCheck())
    case .postgres: .postgres(PostgresCheck())
    case .mysql: .mysql(MySQLCheck())
    case .redis: .redis(RedisCheck())
    // gRPC has a health service, and no probe for it yet: a port that accepts is all that is known.
    case .tcp, .grpc: .tcp
    }
  }
}

extension Format<HealthCheckDeclaration> {
  static var healthCheck: Self {
    .mapping(.other) { map in
      let usual = HealthCheckDeclaration()
      let question = question(map) ?? usual.question
      let sentinel = map.value("sentinel", .boolean)
      if let sentinel, sentinel.value, question != .usual, question != .stated(.tcp) {
        map.reader.error(
          "'sentinel' belongs to checks of type tcp", "remove it: other checks keep their sessions by themselves where they can",
          at: sentinel.position)
      }
      return HealthCheckDeclaration(
        question: question,
        interval: map.value("interval", .duration(.milliseconds(50) ... .hours(1)))?.value ?? usual.interval,
        timeout: map.value("timeout", .duration(.milliseconds(10) ... .hours(1)))?.value ?? usual.timeout,
        healthyThreshold: map.value("healthy_threshold", .integer(1...100))?.value ?? usual.healthyThreshold,
        unhealthyThreshold: map.value("unhealthy_threshold", .integer(1...100))?.value ?? usual.unhealthyThreshold,
        predictive: map.value("predictive", .predictive)?.value,
        sentinel: sentinel?.value ?? usual.sentinel)
    }
  }

  private static func question(_ map: Mapping) -> HealthCheckDeclaration.Question? {
    let type: Located<CheckType>? = map.value("type", .choice("a type of check"))
    let parts = CheckParts(map)
    guard map.has("criteria") else {
      // A wrong type is reported already and says nothing about the other keys.
      return type == nil && map.has("type") ? nil : parts.question(stated: type?.value)
    }
    for key in ["type"] + CheckParts.keys where map.has(key) {
      map.reader.warning(
        "'\(key)' does nothing beside 'criteria', which replaces it", "write it inside criteria, or remove it",
        at: map.position(of: key) ?? map.position)
    }
    return map.value("criteria", .criteria).map { .stated(.criteria($0.value)) }
  }
}

extension Format<Predictive> {
  static var predictive: Self {
    .mapping(.other) { map in
      let degrade = map.value("degrade_below", .integer(0...100))
      let eject = map.value("eject_below", .integer(0...100))
      if !map.has("degrade_below"), !map.has("eject_below") {
        map.reader.error(
          "'predictive' says nothing", "add degrade_below or eject_below, or remove it", at: map.position)
      }
      if let degrade, let eject, eject.value >= degrade.value {
        map.reader.error(
          "eject_below (\(eject.value)) is not below degrade_below (\(degrade.value))", "make it less, for example 30 and 70",
          at: eject.position)
      }
      return Predictive(degradeBelow: degrade?.value, ejectBelow: eject?.value)
    }
  }
}
