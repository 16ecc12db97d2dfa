import Model

/// The types of checks that a file can ask for.
enum CheckType: String, CaseIterable {
  case tcp, http, https, tls, postgres, mysql, redis, exec
}

/// The keys of a `health_check` that say what is asked, each of which belongs to one type or two.
struct CheckParts {
  static let httpKeys = ["path", "status", "body_contains", "host", "headers"]
  static let keys = httpKeys + ["tls", "postgres", "mysql", "redis", "exec"]

  private let map: Mapping
  private let http: HTTPCheck
  private let tls: TLSCheck?
  private let postgres: PostgresCheck?
  private let mysql: MySQLCheck?
  private let redis: RedisCheck?
  private let exec: ExecCheck?

  init(_ map: Mapping) {
    self.map = map
    http = HTTPCheck(readFrom: map)
    tls = map.value("tls", .tlsCheck)?.value
    postgres = map.value("postgres", .postgresCheck)?.value
    mysql = map.value("mysql", .mysqlCheck)?.value
    redis = map.value("redis", .redisCheck)?.value
    exec = map.value("exec", .execCheck)?.value
  }

  /// Nil when what it would need could not be read.
  ///
  /// Without a type, the keys that only one type has name it. Keys that belong to other types are errors.
  func question(stated: CheckType?) -> HealthCheckDeclaration.Question? {
    let present = Self.keys.filter(map.has)
    let implied = present.first.map { types(of: $0)[0] }
    let isHTTP = present.contains(where: Self.httpKeys.contains)
    // Both keys together are one type, and no other is.
    let type = stated ?? (isHTTP && map.has("tls") ? .https : implied)
    guard let type else { return .usual }
    for key in present where !types(of: key).contains(type) { refuse(key) }
    switch type {
    case .tcp: return .stated(.tcp)
    case .http: return stated == nil ? .http(http) : .stated(.http(http))
    case .https:
      var check = http
      check.tls = tls ?? TLSCheck()
      return .stated(.http(check))
    case .tls: return .stated(.tls(tls ?? TLSCheck()))
    case .postgres: return .stated(.postgres(postgres ?? PostgresCheck()))
    case .mysql: return .stated(.mysql(mysql ?? MySQLCheck()))
    case .redis: return .stated(.redis(redis ?? RedisCheck()))
    case .exec:
      if !map.has("exec") {
        map.reader.error(
          "a check of type exec needs a command", "add exec: {command: [/path/of/program]}",
          at: map.position(of: "type") ?? map.position)
      }
      return exec.map { .stated(.exec($0)) }
    }
  }

  private func types(of key: String) -> [CheckType] {
    if Self.httpKeys.contains(key) { return [.http, .https] }
    return key == "tls" ? [.tls, .https] : CheckType(rawValue: key).map { [$0] } ?? []
  }

  private func refuse(_ key: String) {
    let types = types(of: key).map(\.rawValue)
    map.reader.error(
      "'\(key)' belongs to checks of type \(types.joined(separator: " and "))", "write type: \(types[0]), or remove it",
      at: map.position(of: key) ?? map.position)
  }
}

extension HTTPCheck {
  /// From the keys of `health_check`, or of a part of `criteria`.
  init(readFrom map: Mapping) {
    self.init(bodyContains: map.value("body_contains", .string)?.value, host: map.value("host", .hostField)?.value)
    if let path = map.value("path", .requestPath) { self.path = path.value }
    if let statuses = map.value("status", .statusRanges) { self.statuses = statuses.value }
    if let headers = map.value("headers", .headers) { self.headers = headers.value }
  }
}
