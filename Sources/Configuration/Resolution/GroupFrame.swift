import Model

/// A group as the file declares it: its settings, and the members that the file gives it. What DNS and the API add is not in here.
///
/// A class because it never changes and every copy of a topology shares it.
final class GroupFrame: Sendable {
  let name: GroupName
  let declaration: GroupDeclaration
  /// Empty when the group is left to DNS.
  let members: [Candidate]
  /// Whether somebody chose its name. Else it is the name of its only domain, and a group of equals.
  let isNamed: Bool

  init(name: GroupName, declaration: GroupDeclaration, members: [Candidate], isNamed: Bool) {
    self.name = name
    self.declaration = declaration
    self.members = members
    self.isNamed = isNamed
  }
}
