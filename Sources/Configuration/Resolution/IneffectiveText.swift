import Model

/// A key of a TXT string that means something to a name.
package enum TextKey: String, CaseIterable, Hashable, Sendable {
  case isPrimary = "is_primary"
  case groupName = "group_name"
  case weight, zone, mode, maintenance
}

/// A key that was read and changed nothing, and why.
package struct IneffectiveText: Hashable, Sendable {
  package enum Reason: String, CaseIterable, Hashable, Sendable {
    /// The file, or the request that made the entry, says something itself.
    case overriddenByFile = "overridden_by_file"
    /// Another name of the group says something else, and comes first.
    case conflict
    /// The name is in that group with this port already.
    case duplicate
    case badValue = "bad_value"
    /// It means nothing for this record, or in this group.
    case noEffect = "no_effect"
  }

  package let key: TextKey
  package let reason: Reason

  package init(_ key: TextKey, _ reason: Reason) {
    self.key = key
    self.reason = reason
  }
}

extension TextAttributes {
  /// The keys that are set.
  var keys: [TextKey] {
    TextKey.allCases.filter { key in
      switch key {
      case .isPrimary: isPrimary != nil
      case .groupName: group != nil
      case .weight: weight != nil
      case .zone: zone != nil
      case .mode: mode != nil
      case .maintenance: maintenance != nil
      }
    }
  }

  /// What counts of them.
  var checked: TextAttributes {
    var ignored: Set<IneffectiveText> = []
    return checked(&ignored)
  }

  /// Without what could not stand in a file. The resolver reads by the same rules; a state file of an earlier run may not have.
  func checked(_ ignored: inout Set<IneffectiveText>) -> TextAttributes {
    var checked = self
    if let group, !GroupName.isWellFormed(group.rawValue) {
      checked.group = nil
      ignored.insert(IneffectiveText(.groupName, .badValue))
    }
    if let weight, !(0...65535).contains(weight) {
      checked.weight = nil
      ignored.insert(IneffectiveText(.weight, .badValue))
    }
    return checked
  }
}
