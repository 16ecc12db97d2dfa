package import Model

extension Configuration {
  /// See `Topology.group`.
  package func group(
    named name: String, mode: String, backends: [String], primary: String?
  ) throws(GroupRefusal) -> GroupSpecification {
    try topology.group(named: name, mode: mode, backends: backends, primary: primary)
  }

  /// See `Topology.member`.
  package func member(
    _ backend: String, isPrimary: Bool, of group: GroupName, like specification: GroupSpecification
  ) throws(GroupRefusal) -> MemberSource {
    try topology.member(backend, isPrimary: isPrimary, of: group, like: specification)
  }

  /// The items of `backends` and those made through the API, by id.
  package var backends: [BackendSpecification] { topology.backends }
}
