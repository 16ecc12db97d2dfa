import Model

/// A group as the file declares it: its settings, and the members that the file gives it. What DNS and the API add is not in here.
struct GroupFrame: Sendable {
  let name: GroupName
  let declaration: GroupDeclaration
  /// Empty when the group is left to DNS.
  let members: [Candidate]
  /// Whether somebody chose its name. Else it is the name of its only domain, and a group of equals.
  let isNamed: Bool
}
