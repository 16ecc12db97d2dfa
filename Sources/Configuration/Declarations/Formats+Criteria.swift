import Model

/// `criteria`: checks put together with `all`, `any` and `not`.
extension Format<Criteria> {
  /// More than anybody needs, and few enough to ask every member all of it each time.
  static var mostLeaves: Int { 32 }
  static var mostLevels: Int { 8 }

  static var criteria: Self {
    let tree = criteria(level: 1)
    return Format { value in
      guard let criteria = tree.read(value) else { return nil }
      let leaves = criteria.leafCount
      if leaves > mostLeaves {
        value.reader.error("\(value.name) holds \(leaves) checks", "keep at most \(mostLeaves)", at: value.position)
      }
      return criteria
    }
  }

  private static let compositions = ["all", "any", "not"]

  private static func criteria(level: Int) -> Self {
    Format { value in
      guard level <= mostLevels else {
        value.reader.error("criteria nested more than \(mostLevels) levels deep", "write them flatter", at: value.position)
        return nil
      }
      return oneOfEach(level: level).read(value)
    }
  }

  /// A mapping with exactly one key: a composition, or a type of check.
  private static func oneOfEach(level: Int) -> Self {
    .mapping(.other) { map in
      let kinds = compositions + CheckType.allCases.map(\.rawValue)
      let present = kinds.filter(map.has)
      // All are asked for, so that a mistyped one is told its nearest.
      let parts = kinds.map { part($0, of: map, level: level) }
      guard present.count <= 1 else {
        map.reader.error(
          "\(present.map(quoted).joined(separator: " and ")) stand side by side", "put them into a list under all or any",
          at: map.position(of: present[1]) ?? map.position)
        return nil
      }
      if map.isEmpty {
        map.reader.error("a check without a type", "write one, for example tcp: {port: 9000}", at: map.position)
      }
      return parts.compactMap(\.self).first
    }
  }

  private static func part(_ key: String, of map: Mapping, level: Int) -> Criteria? {
    switch key {
    case "all": return list(key, of: map, level: level).map(Criteria.all)
    case "any": return list(key, of: map, level: level).map(Criteria.any)
    case "not": return map.value(key, criteria(level: level + 1)).map { .not($0.value) }
    default: return CheckType(rawValue: key).flatMap { map.value(key, leaf($0))?.value }
    }
  }

  /// Nil when one of them is wrong: what is left would be another question.
  private static func list(_ key: String, of map: Mapping, level: Int) -> [Criteria]? {
    guard let parts = map.value(key, .list(of: criteria(level: level + 1))) else { return nil }
    if map.listIsEmpty(key) {
      map.reader.error("'\(key)' is empty", "list at least one check, or remove it", at: parts.position)
    }
    return parts.value.isEmpty ? nil : parts.value.map(\.value)
  }

  private static func leaf(_ type: CheckType) -> Self {
    .mapping(.other) { map in
      // A program is told the member's address and port, and may do with them what it likes.
      let port = type == .exec ? nil : map.value("port", .port)?.value
      return kind(type, map).map { .check($0, port: port) }
    }
  }

  private static func kind(_ type: CheckType, _ map: Mapping) -> HealthCheck.Kind? {
    switch type {
    case .tcp: return .tcp
    case .http: return .http(HTTPCheck(readFrom: map))
    case .https:
      var check = HTTPCheck(readFrom: map)
      check.tls = map.value("tls", .tlsCheck)?.value ?? TLSCheck()
      return .http(check)
    case .tls: return .tls(TLSCheck(readFrom: map))
    case .postgres: return .postgres(PostgresCheck(readFrom: map))
    case .mysql: return .mysql(MySQLCheck(readFrom: map))
    case .redis: return .redis(RedisCheck(readFrom: map))
    case .exec: return ExecCheck(readFrom: map).map { .exec($0) }
    }
  }
}

extension Criteria {
  fileprivate var leafCount: Int {
    switch self {
    case .check: 1
    case .all(let parts), .any(let parts): parts.reduce(0) { $0 + $1.leafCount }
    case .not(let part): part.leafCount
    }
  }
}
