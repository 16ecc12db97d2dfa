import Model

/// Why a TXT string of a name had no effect.
package enum IgnoredText: String, CaseIterable, Hashable, Sendable {
  /// Not `key=value`, or a key that means nothing here. Names carry TXT records for many purposes.
  case unknownKey = "unknown_key"
  case badValue = "bad_value"
  /// The key comes twice with different values; the smaller text counts, so that the order of the answer does not.
  case contradiction
}

extension TextAttributes {
  /// Reads strings of the form `key=value`. They are a stranger's: whatever is wrong with one is ignored and told.
  init(parsing strings: [String], ignored: inout [IgnoredText]) {
    self.init()
    var seen: [String: Substring] = [:]
    for string in strings.sorted() {
      guard let equals = string.firstIndex(of: "=") else {
        ignored.append(.unknownKey)
        continue
      }
      let key = string[..<equals].lowercased()
      let value = string[string.index(after: equals)...]
      if let first = seen[key] {
        if first != value { ignored.append(.contradiction) }
        continue
      }
      switch set(key, value) {
      case nil: seen[key] = value
      case let reason?: ignored.append(reason)
      }
    }
  }

  private mutating func set(_ key: String, _ value: Substring) -> IgnoredText? {
    switch key {
    case "is_primary": isPrimary = Self.boolean(value)
    case "maintenance": maintenance = Self.boolean(value)
    case "group_name": group = GroupName.isWellFormed(value) ? GroupName(String(value)) : nil
    case "weight": weight = UInt16(value).map(Int.init)
    case "zone": zone = Self.isZone(value) ? String(value) : nil
    case "mode": mode = GroupMode(rawValue: value.lowercased())
    default: return .unknownKey
    }
    return isSet(key) ? nil : .badValue
  }

  private func isSet(_ key: String) -> Bool {
    switch key {
    case "is_primary": isPrimary != nil
    case "maintenance": maintenance != nil
    case "group_name": group != nil
    case "weight": weight != nil
    case "zone": zone != nil
    case "mode": mode != nil
    default: false
    }
  }

  private static func boolean(_ value: Substring) -> Bool? {
    switch value.lowercased() {
    case "true": true
    case "false": false
    default: nil
    }
  }

  private static func isZone(_ value: Substring) -> Bool {
    (1...64).contains(value.utf8.count) && value.utf8.allSatisfy { (0x21...0x7E).contains($0) }
  }
}
