import Model
import Threads

/// A (group, role) pair as a number: what a listener routes to.
typealias RouteNumber = Int32

extension ListenerRole {
  var ordinal: Int {
    switch self {
    case .primary: 0
    case .replica: 1
    case .any: 2
    }
  }
}

/// Where the connections of one group and one listener role go, and those that wait to.
struct Route {
  var balancer = Balancer()
  var held = SessionList(.hold)
  var pacing = HoldPacing()
}

/// A group as a worker knows it. Made by the first listener or table that names it, kept while one of them does.
struct GroupSlot {
  let name: GroupName
  var isInTable = false
  /// Open ones, and closed ones that are not forgotten yet.
  var listeners = 0
  var holdTimeout = Duration.seconds(10)
  /// In the table's order.
  var members: [Int32] = []
  /// No longer in the table, but sessions use them still.
  var departed: Set<Int32> = []
  /// By role ordinal.
  let routes: InlineArray<3, RouteNumber>

  init(name: GroupName, routes: InlineArray<3, RouteNumber>) {
    self.name = name
    self.routes = routes
  }
}

/// A member of a group at an address. Known while the table names it or a session uses it.
struct BackendSlot {
  let member: MemberKey
  let address: SocketAddress
  var isInTable = true
  var standing: Standings
  /// By role ordinal: since when this worker has known the standing.
  var standingSince: InlineArray<3, Instant>
  var drainTimeout: Duration
  /// Connecting and relaying.
  var sessions = SessionList(.backend)
  /// Sessions per listener; one or two entries, because a backend belongs to one group.
  var sessionsByListener: [(listener: Int32, count: Int)] = []
  /// By signal kind: when the last one was sent.
  private var lastSignal = InlineArray<5, Instant>(repeating: Instant(nanoseconds: .min))

  init(member: MemberKey, route: MemberRoute, drainTimeout: Duration, now: Instant) {
    self.member = member
    address = route.address
    standing = route.standing
    standingSince = InlineArray(repeating: now)
    self.drainTimeout = drainTimeout
  }

  mutating func count(_ change: Int, for listener: Int32) {
    if let index = sessionsByListener.firstIndex(where: { $0.listener == listener }) {
      sessionsByListener[index].count += change
      if sessionsByListener[index].count == 0 { sessionsByListener.remove(at: index) }
    } else {
      sessionsByListener.append((listener, change))
    }
  }

  /// One signal of a kind in this long is all the engine needs: it is evidence, and ten thousand sessions of a dead backend say the same.
  static let signalInterval = Duration.milliseconds(10)

  mutating func maySignal(_ kind: DataPathSignal.Kind, now: Instant) -> Bool {
    let index =
      switch kind {
      case .connectRefused: 0
      case .connectTimedOut: 1
      case .connectUnreachable: 2
      case .reset: 3
      case .closed: 4
      }
    guard lastSignal[index].nanoseconds == .min || now - lastSignal[index] >= Self.signalInterval else { return false }
    lastSignal[index] = now
    return true
  }
}

/// A listener of this worker. Outlives its socket while sessions that came through it go on.
struct ListenerSlot {
  let name: ListenerName
  var group: Int32
  var role: ListenerRole
  var route: RouteNumber
  var clientSpeaksFirst: Bool
  var isOpen = false
  var generation: UInt32 = 0
  /// Who waits for the socket to be closed.
  var closing: [Reply<Void>] = []

  var accepted: UInt64 = 0
  var received: UInt64 = 0
  var sent: UInt64 = 0
  var active = 0
  var ended = InlineArray<12, UInt64>(repeating: 0)
  var retries = InlineArray<6, UInt64>(repeating: 0)
}
