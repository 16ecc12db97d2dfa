import Model

/// Where a key stands in the file.
enum Section {
  case top, group, healthCheck, postgres, apiSecurity
  /// Sections whose keys all work.
  case other
}

/// What the contract promises and this version does not do. It is recognised and checked, and refused when it would change
/// anything, because a setting that is silently ignored is worse than one that is missing.
///
/// Whoever builds a feature deletes its line here; nothing else knows.
enum NotYet {
  static let engines = ["io_uring"]
  static let balances = [String]()
  static let checkTypes = ["mysql", "redis", "exec"]
  static let postgresDepths = [String]()
  static let postgresTLS = ["require"]

  /// The keys of a section, each with a format that says whether the value is the neutral one.
  static func keys(in section: Section) -> [(key: String, isNeutral: Format<Bool>)] {
    switch section {
    case .top: [("maintenance", .list(of: maintenanceWindow).map { $0.isEmpty })]
    case .group:
      [
        ("sticky", sticky),
        ("zone_affinity", .boolean.map { !$0 }),
        ("slow_start", Format<Duration>.duration(.zero ... .hours(1)).map { $0 == .zero }),
        ("pin", .boolean.map { !$0 }),
        ("maximum_failovers", maximumFailovers),
      ]
    case .healthCheck: [("criteria", criteria), ("predictive", predictive)]
    case .postgres: [("maximum_lag", Format<Duration>.duration(.zero ... .days(1)).map { _ in false })]
    case .apiSecurity:
      [
        ("auth_enabled", .boolean.map { !$0 }),
        ("rate_limit_enabled", .boolean.map { !$0 }),
        ("allowlist_enabled", .boolean.map { !$0 }),
      ]
    case .other: []
    }
  }

  private static var sticky: Format<Bool> {
    .mapping(.other) { map in
      _ = map.value("cookie", .string)
      _ = map.value("source_ip", .boolean)
      _ = map.value("header", .string)
      _ = map.value("ttl", .duration(.seconds(1) ... .days(365)))
      return false
    }
  }

  private static var maximumFailovers: Format<Bool> {
    .mapping(.other) { map in
      _ = map.required("count", .integer(1...1000), example: "4")
      _ = map.required("within", .duration(.seconds(1) ... .days(7)), example: "10m")
      return false
    }
  }

  private static var predictive: Format<Bool> {
    .mapping(.other) { map in
      _ = map.value("degrade_below", .integer(0...100))
      _ = map.value("eject_below", .integer(0...100))
      return false
    }
  }

  /// The tree of checks itself is left to the version that runs it.
  private static var criteria: Format<Bool> {
    let anything = Format<Void> { _ in () }
    return .mapping(.other) { map in
      _ = map.value("all", .list(of: anything))
      _ = map.value("any", .list(of: anything))
      _ = map.value("not", anything)
      return false
    }
  }

  private static var maintenanceWindow: Format<Void> {
    .mapping(.other) { map in
      _ = map.required("backend", .string, example: "db1")
      _ = map.required("start", .string, example: "\"2026-12-01T02:00:00Z\"")
      _ = map.required("duration", .duration(.seconds(1) ... .days(365)), example: "1h")
      _ = map.value("repeat", .string)
      _ = map.value("pre_drain", .duration(.zero ... .days(1)))
    }
  }
}

extension Duration {
  static func minutes(_ count: Int) -> Duration { .seconds(60 * count) }
  static func hours(_ count: Int) -> Duration { .seconds(3600 * count) }
  static func days(_ count: Int) -> Duration { .seconds(86400 * count) }
}
