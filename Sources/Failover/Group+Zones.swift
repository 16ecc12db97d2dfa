import Model

/// Zone affinity: the members of this host's zone take all, as long as they are enough.
///
/// As with Envoy's priority levels, a zone is enough while 70 % of its weight is healthy. Below that the missing part spills over to the
/// other members, in proportion: of a zone that is half healthy 70 % of the traffic stays, of one that is dead nothing.
extension Group {
  /// Whether nothing speaks for a member that is nearer.
  func isLocal(_ member: Member) -> Bool {
    guard specification.zoneAffinity, let zone = host.zone else { return true }
    return member.zone == zone
  }

  /// Divides the traffic between here and elsewhere by scaling down the shares of one side.
  func preferOwnZone(_ routes: inout [Member.Announced]) {
    if host.zone == nil { return }
    let role: ListenerRole = specification.mode == .normal ? .any : .replica
    // Who takes nothing by its own account is no capacity: the others must not leave it their part.
    let serving = members.indices.filter { routes[$0].standing[role] == .serve && routes[$0].weight > 0 && routes[$0].share > 0 }
    guard let tier = serving.first.map({ members[$0].tier }) else { return }
    let (here, elsewhere) = (serving.filter { isLocal(members[$0]) }, serving.filter { !isLocal(members[$0]) })
    if here.isEmpty || elsewhere.isEmpty { return }
    let healthy = here.reduce(0) { $0 + Int(routes[$1].weight) }
    let whole = members.indices.reduce(0) { sum, position in
      // In an active-passive group only those that serve reads are compared with each other.
      let counts =
        members[position].tier == tier && isLocal(members[position])
        && (specification.mode == .normal || members[position].id != leader)
      return counts ? sum + Int(routes[position].weight) : sum
    }
    let staying = min(100, healthy * 140 / max(1, whole))
    // Shares multiply weights: what one side gets is its weight times its share.
    let away = elsewhere.reduce(0) { $0 + Int(routes[$1].weight) }
    let (forHere, forElsewhere) = (staying * away, (100 - staying) * healthy)
    let larger = max(1, max(forHere, forElsewhere))
    for (side, part) in [(here, forHere), (elsewhere, forElsewhere)] {
      for position in side { routes[position].scale(part, of: larger) }
    }
  }
}

extension Member.Announced {
  /// Rounding alone takes nobody out.
  fileprivate mutating func scale(_ part: Int, of whole: Int) {
    if share == 0 { return }
    share = part == 0 ? 0 : UInt8(clamping: max(1, (Int(share) * part + whole / 2) / whole))
  }
}
