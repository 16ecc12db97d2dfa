import Model
import Threads

/// A (group, role) pair as a number: what a listener routes to.
typealias RouteNumber = Int32

extension Int32 {
  /// In place of a number of a slot: there is none.
  static var noSlot: Int32 { -1 }
}

extension ListenerRole {
  var ordinal: Int {
    switch self {
    case .primary: 0
    case .replica: 1
    case .any: 2
    }
  }
}

/// Where the connections of one group and one listener role go, and those that wait to. Exists while a listener leads there.
struct Route {
  var balancer = Balancer()
  var held = SessionList(.hold)
  var pacing = HoldPacing()
  /// Set once everybody who served was lost at one time.
  var failover: FailoverClock?
  /// Open ones, and closed ones that are not forgotten yet.
  var listeners: Int32 = 0
}

/// A group as a worker knows it. Made by the first listener or table that names it, kept while one of them does.
struct GroupSlot {
  let name: GroupName
  var holdTimeout = Duration.seconds(10)
  var drainTimeout = Duration.zero
  var connections = UpstreamConnections()
  /// This worker's part of what each member may have.
  var connectionLimit = Int.max
  /// In the table's order.
  var members: [Int32] = []
  /// No longer in the table, but sessions use them still.
  var departed: Set<Int32> = []
  /// By role ordinal; `noSlot` where no listener leads.
  var routes = InlineArray<3, RouteNumber>(repeating: .noSlot)
  var balance = Balance.roundRobin
  var mistrust = Mistrust()
  var isInTable = false
  /// A change of it is being taken over.
  var isChanging = false

  init(name: GroupName) { self.name = name }

  var hasRoutes: Bool { (0..<routes.count).contains { routes[$0] != .noSlot } }
}

/// A member of a group at an address. Known while the table names it or a session uses it.
///
/// There may be fifty thousand, most of them without a session: what only sessions need is beside it, in a `BackendActivity`.
struct BackendSlot {
  let name: BackendID
  let address: SocketAddress
  let group: Int32
  /// The number of its `BackendActivity`, while it has sessions.
  var activity = Int32.noSlot
  /// The number of its `LatencyEstimate`, where the group balances by it.
  var estimate = Int32.noSlot
  private(set) var weight: UInt16 = 0
  private(set) var share: UInt8 = 0
  var standing: Standings
  var isInTable = true
  /// The change that is being taken over names it.
  var isMatched = false
  /// The kinds of signals that were sent since `signalsSince`.
  private var signals: UInt8 = 0
  private var signalsSince = Instant(nanoseconds: .min)

  init(_ route: MemberRoute, group: Int32) {
    name = route.backend
    address = route.address
    self.group = group
    standing = route.standing
    weigh(as: route)
  }

  func `is`(_ member: MemberRoute) -> Bool { name == member.backend && address == member.address }

  mutating func weigh(as route: MemberRoute) {
    weight = UInt16(clamping: route.weight)
    share = min(100, route.share)
  }

  /// One signal of a kind in this long is all the engine needs: it is evidence, and ten thousand sessions of a dead backend say the same.
  static let signalInterval = Duration.milliseconds(10)

  mutating func maySignal(_ kind: DataPathSignal.Kind, now: Instant) -> Bool {
    if signalsSince.nanoseconds == .min || now - signalsSince >= Self.signalInterval {
      signalsSince = now
      signals = 0
    }
    let bit: UInt8 =
      switch kind {
      case .connectRefused: 1
      case .connectTimedOut: 2
      case .connectUnreachable: 4
      case .reset: 8
      case .closed: 16
      }
    guard signals & bit == 0 else { return false }
    signals |= bit
    return true
  }
}

/// What a backend with sessions has beside its slot.
struct BackendActivity {
  /// Connecting and relaying.
  var sessions = SessionList(.backend)
  /// Second connects that are on their way here, for sessions that are counted elsewhere or here already.
  var hedges = 0
  /// Sessions per listener; one or two entries, because a backend belongs to one group.
  private(set) var byListener: [(listener: Int32, count: Int)] = []
  /// By role ordinal: since when this worker has known the standing. For the deadlines of sessions, so not older than the first of them.
  var standingSince: InlineArray<3, Instant>

  init(now: Instant) { standingSince = InlineArray(repeating: now) }

  var connections: Int { sessions.count + hedges }

  mutating func count(_ change: Int, for listener: Int32) {
    if let index = byListener.firstIndex(where: { $0.listener == listener }) {
      byListener[index].count += change
      if byListener[index].count == 0 { byListener.remove(at: index) }
    } else {
      byListener.append((listener, change))
    }
  }
}

/// A listener of this worker. Outlives its socket while sessions that came through it go on.
struct ListenerSlot {
  let name: ListenerName
  var group: Int32
  var role: ListenerRole
  var route: RouteNumber
  var clientSpeaksFirst: Bool
  var idleTimeout: Duration?
  var maximumDuration: Duration?
  /// This worker's part of what it may have.
  var connectionLimit = Int.max
  var isOpen = false
  /// The engine's, while it is open: for options and copies only.
  var socket = ListeningSocket(descriptor: -1)
  var generation: UInt32 = 0
  /// Set while handshakes that are under way may still end.
  var closesAt: Instant?
  /// Who waits for the sockets of this name to be closed.
  var closing: [Reply<Void>] = []

  var accepted: UInt64 = 0
  var received: UInt64 = 0
  var sent: UInt64 = 0
  var active = 0
  var isFull: Bool { active >= connectionLimit }
  var limitsLifetime: Bool { idleTimeout != nil || maximumDuration != nil }
  var ended = InlineArray<14, UInt64>(repeating: 0)
  var retries = InlineArray<7, UInt64>(repeating: 0)
}
