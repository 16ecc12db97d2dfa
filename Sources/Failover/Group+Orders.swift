package import Model

/// What people, and maintenance windows, want of the group's backends.
extension Group {
  /// Orders for backends that are not here: enough for every backend that may come back, and no more than that.
  private static let absentOrdersKept = 256

  /// - Returns: whether that is new.
  mutating func order(_ order: Member.Orders, for backend: BackendID) -> Bool {
    let before = standingOrders[backend] ?? []
    if before.isSuperset(of: order) { return false }
    obey(before.union(order), for: backend)
    dropOldOrders()
    return true
  }

  /// - Returns: whether there was such an order.
  mutating func countermand(_ order: Member.Orders, for backend: BackendID) -> Bool {
    guard let before = standingOrders[backend], !before.isDisjoint(with: order) else { return false }
    obey(before.subtracting(order), for: backend)
    return true
  }

  private mutating func obey(_ orders: Member.Orders, for backend: BackendID) {
    standingOrders[backend] = orders.isEmpty ? nil : orders
    // An emptied dictionary keeps its memory.
    if standingOrders.isEmpty { standingOrders = [:] }
    if let position = position(backend) { members[position].orders = orders }
  }

  /// Somebody may drain each backend before it goes for good.
  private mutating func dropOldOrders() {
    let absent = standingOrders.keys.filter { position($0) == nil }
    if absent.count <= Self.absentOrdersKept { return }
    for backend in absent.sorted().prefix(absent.count - Self.absentOrdersKept) { standingOrders[backend] = nil }
  }

  /// Sorted, also those that are not here now.
  package var drainedByOperator: [BackendID] {
    standingOrders.filter { $0.value.contains(.drainedByOperator) }.keys.sorted()
  }

  /// What an earlier run left behind.
  mutating func restoreDrains(_ backends: [String]) {
    for backend in backends { _ = order(.drainedByOperator, for: BackendID(backend)) }
  }

  /// What the windows that run now want of the backends that are here.
  mutating func obey(_ windows: [BackendID: Member.Orders]) {
    for member in members {
      let wanted = windows[member.id] ?? []
      if member.orders.intersection(.windows) != wanted { obey(member.orders.subtracting(.windows).union(wanted), for: member.id) }
    }
  }

  /// Whether somebody else could take over from `backend`. Before anybody has served nobody knows, and what people planned counts.
  func couldSpare(_ backend: BackendID, now: Instant) -> Bool {
    if !hasServed { return true }
    // Its place is not given to anybody, eligible or not.
    let isFixed = specification.shadow || (override?.backend == backend && (override?.pin == true || override?.force == true))
    if leader == backend, isFixed, specification.mode == .activePassive { return false }
    return members.contains { member in
      let obstacle = specification.mode == .activePassive ? member.obstacle(at: now) : member.plainObstacle
      return member.id != backend && obstacle == nil
    }
  }
}
