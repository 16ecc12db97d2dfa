import Model

/// A `health_check`: how to ask, and the kind of question where the file fixes it. Otherwise each member's protocol does.
struct HealthCheckDeclaration: Sendable {
  var kind: HealthCheck.Kind?
  var interval: Duration = .milliseconds(300)
  var timeout: Duration = .milliseconds(300)
  var healthyThreshold = 2
  var unhealthyThreshold = 2

  func check(for proto: BackendProtocol) -> HealthCheck {
    HealthCheck(
      kind: kind ?? Self.defaultKind(for: proto), interval: interval, timeout: timeout, healthyThreshold: healthyThreshold,
      unhealthyThreshold: unhealthyThreshold)
  }

  private static func defaultKind(for proto: BackendProtocol) -> HealthCheck.Kind {
    switch proto {
    case .http: .http(HTTPCheck())
    case .postgres: .postgres(PostgresCheck())
    // A port that accepts is all that is known of the others until they have probes of their own.
    case .tcp, .https, .mysql, .redis, .grpc, .tls: .tcp
    }
  }
}

private enum CheckType: String, CaseIterable {
  case tcp, http, postgres
}

extension Format<HealthCheckDeclaration> {
  static var healthCheck: Self {
    .mapping(.healthCheck) { map in
      let type: Located<CheckType>? = map.value("type", .choice("a type of check", notYet: NotYet.checkTypes))
      let http = httpCheck(map)
      let postgres = map.value("postgres", .postgresCheck)
      let defaults = HealthCheckDeclaration()
      return HealthCheckDeclaration(
        kind: kind(map, type: type?.value, http: http, postgres: postgres?.value),
        interval: map.value("interval", .duration(.milliseconds(50) ... .hours(1)))?.value ?? defaults.interval,
        timeout: map.value("timeout", .duration(.milliseconds(10) ... .hours(1)))?.value ?? defaults.timeout,
        healthyThreshold: map.value("healthy_threshold", .integer(1...100))?.value ?? defaults.healthyThreshold,
        unhealthyThreshold: map.value("unhealthy_threshold", .integer(1...100))?.value ?? defaults.unhealthyThreshold)
    }
  }

  private static let httpKeys = ["path", "status", "body_contains", "host"]

  /// Without a `type`, the keys that only one type has name it.
  private static func kind(_ map: Mapping, type: CheckType?, http: HTTPCheck, postgres: PostgresCheck?) -> HealthCheck.Kind? {
    let hasPostgres = map.has("postgres")
    let httpKey = httpKeys.first(where: map.has)
    let implied: CheckType? = type ?? (httpKey != nil ? .http : hasPostgres ? .postgres : nil)
    // A wrong type is reported already and says nothing about the other keys.
    if type != nil || !map.has("type") {
      if let key = httpKey, implied != .http { refuse(map, key, needing: .http) }
      if hasPostgres, implied != .postgres { refuse(map, "postgres", needing: .postgres) }
    }
    switch implied {
    case .tcp: return .tcp
    case .http: return .http(http)
    case .postgres: return .postgres(postgres ?? PostgresCheck())
    case nil: return nil
    }
  }

  private static func refuse(_ map: Mapping, _ key: String, needing type: CheckType) {
    map.reader.error(
      "'\(key)' belongs to checks of type \(type.rawValue)", "write type: \(type.rawValue), or remove it",
      at: map.position(of: key) ?? map.position)
  }

  private static func httpCheck(_ map: Mapping) -> HTTPCheck {
    var check = HTTPCheck()
    if let path = map.value("path", .requestPath) { check.path = path.value }
    if let statuses = map.value("status", .statusRanges) { check.statuses = statuses.value }
    check.bodyContains = map.value("body_contains", .string)?.value
    check.host = map.value("host", .hostField)?.value
    return check
  }
}

private enum PostgresTLS: String, CaseIterable {
  case disable
  /// Plain for now, which `prefer` allows.
  case prefer
}

extension Format<PostgresCheck> {
  static var postgresCheck: Self {
    .mapping(.postgres) { map in
      // The server keeps 63 bytes of either name.
      let user = map.value("user", .string(atMost: 63))
      let database = map.value("database", .string(atMost: 63))
      let password = map.secret("password")
      let depth: Located<PostgresCheck.Depth>? = map.value("depth", .choice("a depth", notYet: NotYet.postgresDepths))
      let _: Located<PostgresTLS>? = map.value("tls", .choice("a TLS mode", notYet: NotYet.postgresTLS))
      let defaults = PostgresCheck()
      if let depth, depth.value == .role, !map.has("user") {
        map.reader.error("'depth: role' needs a user that may log in", "add user and password_file", at: depth.position)
      }
      return PostgresCheck(
        user: user?.value ?? defaults.user, password: password?.value, database: database?.value ?? defaults.database,
        depth: depth?.value ?? (map.has("user") ? .role : .startup))
    }
  }
}
