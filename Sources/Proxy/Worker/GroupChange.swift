import Model

/// How far a worker is with one change of a group.
///
/// ```
/// matching ──► leaving ──► building ──► settling ──► forgetting
///  who was here before,     the next      sessions      members that
///  who lost what           candidates    that must go   nobody uses
/// ```
///
/// Each step is small, and sockets have their turn between any two passes: ten thousand members take some dozens of passes. The group
/// serves by its old candidates until `building` is done and then by the new ones, all at once; only who may no longer serve is
/// passed over from the moment that is seen.
struct GroupChange {
  enum Stage {
    case matching, leaving, building, settling, forgetting
  }

  enum Kind {
    case update(GroupRoute)
    case removal
    /// The members stay; a listener wants a route that was not there.
    case newRoute
  }

  /// A member whose sessions are to be looked at.
  struct Changed {
    let backend: Int32
    /// It served the primary role before: its sessions are stale where a failover has begun.
    var servedPrimary = false
  }

  let group: Int32
  let kind: Kind
  let startedAt: Instant
  /// Who was in the group, and who of earlier ones still has sessions.
  let known: [Int32]
  var stage: Stage
  /// The next one of the stage.
  var cursor = 0

  // MARK: Matching and leaving

  /// In the new table's order.
  var members: [Int32] = []
  /// Of `known`, by identity; made once a member is not where it was.
  var places: [Int: Int32] = [:]
  var indexed = 0
  var leaving: [Int32] = []
  var changed: [Changed] = []
  var hasNewTimeout = false
  /// Members that were full are so no longer.
  var mayHaveRoom = false
  var primaryWasServed = false
  var primaryIsServedStill = false

  // MARK: Building

  /// By role ordinal.
  var drafts = InlineArray<3, BalancerDraft?>(repeating: nil)
  var building = BuildingStage.choosing

  enum BuildingStage {
    /// Of the roles that have a route, one without a draft.
    case choosing
    case remembering(ListenerRole)
    case adding(ListenerRole)
    case weighing(ListenerRole)
  }

  // MARK: Settling

  /// Sessions of the member at the cursor that were not looked at yet; nil before the first of them.
  var sessionsLeft: Int?
  /// The number of the failover that begins with this change.
  var failover: UInt32?

  /// - Parameter departed: no longer in the table, but with sessions.
  init(_ kind: Kind, of group: Int32, members old: [Int32], departed: Set<Int32>, now: Instant) {
    self.group = group
    self.kind = kind
    startedAt = now
    switch kind {
    case .update(let route):
      stage = .matching
      known = old + departed
      members.reserveCapacity(route.members.count)
    case .removal:
      stage = .leaving
      known = old + departed
    case .newRoute:
      stage = .building
      known = []
      members = old
    }
  }

  mutating func enter(_ next: Stage) {
    stage = next
    cursor = 0
  }

  /// What a member is found by when it is not where it was. Two with the same number are told apart by whoever looks: a hash decides nothing.
  static func identity(_ backend: BackendID, _ address: SocketAddress) -> Int {
    var hasher = Hasher()
    hasher.combine(backend)
    hasher.combine(address)
    return hasher.finalize()
  }
}
