package import Model

/// What must hold after every event. Called by tests and simulations; production pays nothing for it.
extension Engine {
  /// - Returns: one line per violation, empty when all is well.
  package func violations(at now: Instant) -> [String] {
    var found: [String] = []
    if table.groups.map(\.name) != groups.map(\.name) { found.append("the table's groups are not the engine's") }
    for group in groups {
      guard let route = table[group.name] else { continue }
      if route.members.map(\.backend) != group.members.map(\.id) { found.append("\(group.name): the table's members differ") }
      if Set(group.members.map(\.address)).count != group.members.count { found.append("\(group.name): one address twice") }
      if group.specification.mode == .activePassive { found += activePassiveViolations(group, route, now) }
    }
    return found
  }

  private func activePassiveViolations(_ group: Group, _ route: GroupRoute, _ now: Instant) -> [String] {
    var found: [String] = []
    let serving = route.serving(.primary)
    if serving.count > 1 { found.append("\(group.name): routes to \(serving.count) members at once") }
    for id in serving {
      guard let member = group.member(id) else { continue }
      if id != group.leader { found.append("\(group.name): routes to \(id), which is not the primary") }
      if member.check.provesRole, member.role(at: now) != .primary { found.append("\(group.name): \(id) is not proved writable") }
      let forced = group.override?.force == true && group.override?.backend == id
      if !member.health.isUp && !forced { found.append("\(group.name): routes to \(id), which is not up") }
    }
    if let pinned = group.override, pinned.pin, group.leader != pinned.backend { found.append("\(group.name): the pin is ignored") }
    return found
  }
}
