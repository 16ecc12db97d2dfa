import Model

/// A group as the file declares it: its settings, and the members that the file gives it. What DNS and the API add is not in here.
///
/// A class because it never changes and every copy of a topology shares it.
final class GroupFrame: Sendable {
  let name: GroupName
  /// Nil where it is left to DNS and to who is in it.
  let mode: GroupMode?
  let settings: SharedSettings
  /// Empty when the group is left to DNS.
  let members: [Candidate]
  /// Whether somebody chose its name. Else it is the name of its only domain, and a group of equals.
  let isNamed: Bool
  /// The entry before which it stands in the order of groups: nil for those of `failover_groups`, which come first.
  let place: Int?

  init(
    name: GroupName, mode: GroupMode?, settings: SharedSettings, members: [Candidate], isNamed: Bool, place: Int?
  ) {
    self.name = name
    self.mode = mode
    self.settings = settings
    self.members = members
    self.isNamed = isNamed
    self.place = place
  }
}
