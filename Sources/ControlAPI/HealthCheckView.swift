import Model

/// A health check under the keys of the file. What is secret, or may hold a secret, is masked.
struct HealthCheckView: Encodable {
  let type: String
  let interval: String
  let timeout: String
  let healthyThreshold: Int
  let unhealthyThreshold: Int
  let settings: Settings

  init(_ check: HealthCheck) {
    type = check.kind.name
    interval = check.interval.text
    timeout = check.timeout.text
    healthyThreshold = check.healthyThreshold
    unhealthyThreshold = check.unhealthyThreshold
    settings = Settings(check.kind)
  }

  /// What belongs to the type: an object with only the keys that are set.
  indirect enum Settings: Encodable {
    case text(String)
    case list([Settings])
    case object([String: Settings])

    func encode(to encoder: any Encoder) throws {
      var value = encoder.singleValueContainer()
      switch self {
      case .text(let text): try value.encode(text)
      case .list(let items): try value.encode(items)
      case .object(let fields): try value.encode(fields)
      }
    }
  }
}

extension HealthCheckView.Settings {
  init(_ kind: HealthCheck.Kind) {
    switch kind {
    case .tcp: self = .object([:])
    case .tls(let check): self = .fields(Self.tls(check))
    case .http(let check): self = .fields(Self.http(check))
    case .postgres(let check): self = .fields(Self.postgres(check))
    case .mysql(let check):
      self = .fields([("user", check.user), ("password", check.password?.description), ("tls", check.tls.rawValue)])
    case .redis(let check): self = .fields([("user", check.user), ("password", check.password?.description)])
    case .exec(let check): self = .object(["command": .list(check.command.map(Self.text))])
    case .criteria(let criteria): self.init(criteria)
    }
  }

  private init(_ criteria: Criteria) {
    switch criteria {
    case .check(let kind, let port):
      guard case .object(var fields) = Self(kind) else { self = .object([:]); return }
      if let port { fields["port"] = .text(String(port)) }
      self = .object([kind.name: .object(fields)])
    case .all(let parts): self = .object(["all": .list(parts.map(Self.init))])
    case .any(let parts): self = .object(["any": .list(parts.map(Self.init))])
    case .not(let part): self = .object(["not": Self(part)])
    }
  }

  private static func fields(_ pairs: [(String, String?)]) -> Self {
    .object(Dictionary(pairs.compactMap { key, value in value.map { (key, .text($0)) } }) { first, _ in first })
  }

  private static func tls(_ check: TLSCheck) -> [(String, String?)] {
    [("server_name", check.serverName), ("verify", String(check.verifies)), ("ca_file", check.authorities)]
  }

  private static func http(_ check: HTTPCheck) -> [(String, String?)] {
    let statuses = check.statuses.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    // A header's value may well be a token: the name has to do.
    let headers = check.headers.map { "\($0.name): \(Secret($0.value))" }
    return [
      ("path", check.path), ("status", statuses.joined(separator: ",")), ("body_contains", check.bodyContains),
      ("host", check.host),
      ("headers", headers.isEmpty ? nil : headers.joined(separator: ", ")),
    ] + (check.tls.map(tls) ?? [])
  }

  private static func postgres(_ check: PostgresCheck) -> [(String, String?)] {
    let lag: String? =
      switch check.maximumLag {
      case .time(let duration): duration.text
      case .bytes(let count): "\(count) bytes"
      case nil: nil
      }
    return [
      ("user", check.user), ("password", check.password?.description), ("database", check.database),
      ("depth", check.depth.rawValue),
      ("maximum_lag", lag), ("tls", check.tls.rawValue),
    ]
  }
}
