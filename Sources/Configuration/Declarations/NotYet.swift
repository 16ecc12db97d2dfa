import Model

/// Where a key stands in the file.
enum Section {
  case group, apiSecurity
  /// Sections whose keys all work.
  case other
}

/// What the contract promises and this version does not do. It is recognised and checked, and refused when it would change
/// anything, because a setting that is silently ignored is worse than one that is missing.
///
/// Whoever builds a feature deletes its line here; nothing else knows.
enum NotYet {
  /// The keys of a section, each with a format that says whether the value is the neutral one.
  static func keys(in section: Section) -> [(key: String, isNeutral: Format<Bool>)] {
    switch section {
    case .group: [("sticky", sticky)]
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
}

extension Duration {
  static func minutes(_ count: Int) -> Duration { .seconds(60 * count) }
  static func hours(_ count: Int) -> Duration { .seconds(3600 * count) }
  static func days(_ count: Int) -> Duration { .seconds(86400 * count) }
}
