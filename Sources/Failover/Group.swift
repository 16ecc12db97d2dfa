package import Model

/// One failover group: its members, who leads, and since when.
///
/// The intuition: facts change members, `settle` then looks at all of them and decides again from nothing but the facts, the current
/// leader and the time (`ruling` says what is right, `lead` does it). No decision is remembered other than the leader, the operator's
/// override, the instants of the latest changes and what was recorded about changes that wait, so there is no second state machine
/// that could disagree.
///
/// Invariants (see `Engine.violations`): at most one member of an active-passive group serves role `primary`; members are
/// ordered by rank, tier and address, and indexed by id.
package struct Group: Sendable {
  /// An operator's choice. It wins over every automatic input until it is lifted or its backend is gone.
  package struct Override: Hashable, Sendable {
    package let backend: BackendID
    /// Serves although its probes fail, until it is eligible. Never sends writes to a server whose role is not proved.
    package var force: Bool
    /// No automatic failover away from it.
    package let pin: Bool
    /// `pin: true` of the configuration has set it, and no person.
    package var isConfigured = false
  }

  /// Who wants the group.
  enum Claim: Hashable, Sendable {
    /// A request of a person. Configuration and DNS do not touch it.
    case api
    /// Configuration, DNS, or both.
    case described
    /// Nobody any more. Its members are leaving, and it goes with the last of them, unless it is described again before.
    case dissolving
  }

  package internal(set) var specification: GroupSpecification {
    didSet { if specification.members != oldValue.members { sources = SharedSource.all(of: specification.members) } }
  }
  /// By rank.
  private(set) var sources: [SharedSource]
  var claim: Claim
  var host: Host
  package internal(set) var members: [Member] = []
  /// Only of a large group: a few members are found as fast one by one.
  private var index: [BackendID: Int] = [:]
  /// As of the last event that concerned the group. Here, because each pass of a probe looks at it and at the members, and nothing else.
  var network = NetworkSuspicion()
  /// No member came, went or moved, and the group's own terms are the same, since the proxies were told.
  var isAnnounced = false
  /// What people want of backends, also of those that are not here now: an order holds for as long as the group lives.
  var standingOrders: [BackendID: Member.Orders] = [:]
  /// Sources that were added by request, after those that are described. Empty in a group that was itself made by request.
  var added: [MemberSource] = []

  /// The current primary. In normal mode it is what `role: primary` listeners and the API mean; traffic is spread regardless.
  package internal(set) var leader: BackendID?
  package internal(set) var lastFailover: Instant?
  package internal(set) var failoverCount = 0
  package internal(set) var override: Override?
  package internal(set) var holding = false
  /// In shadow mode: who would lead, where that is somebody else than the leader.
  package internal(set) var shadowPrimary: BackendID?
  /// Who led when the last run ended; until the first election of this one.
  var remembered: BackendID?
  /// The latest changes of primary by the engine itself.
  var automaticChanges = AutomaticChanges()
  /// Of members that are named as the primary.
  var failures: [Failure] = []
  /// What was recorded about changes that are due and not made; nil when nothing was, or it was taken back.
  var suspension: Suspension?
  /// How many members answered their last probe, without those on this host.
  var answering = 0
  var hasServed = false
  /// The leader has been the designated primary while it led. If it is not any more, DNS or the configuration has taken the
  /// designation away: an instruction, unlike a recovery.
  var leaderWasDesignated = false
  var alarmedAboutTwoWritable = false
  /// Domains that have had no authoritative outcome yet, not even a remembered one.
  var unresolvedDomains: Set<DomainName> = []
  /// What the last answer of a domain named outside the allowed ranges; no entry where there was nothing.
  var refused: [DomainName: Set<IPAddress>] = [:]
  var refusedAddresses: UInt64 = 0
  /// From then on the first election no longer waits for a designated primary that nobody has seen.
  var electsAnyoneFrom: Instant

  init(_ specification: GroupSpecification, claim: Claim, host: Host, now: Instant) {
    self.specification = specification
    sources = SharedSource.all(of: specification.members)
    self.claim = claim
    self.host = host
    electsAnyoneFrom = now + specification.holdTimeout
    unresolvedDomains = domains
    // Who reads the new group reads all of it: nothing to report.
    var unreported = Outcome()
    insertFixed(now: now, into: &unreported)
    rederiveAttributes(now: now, into: &unreported)
  }

  package var name: GroupName { specification.name }

  var holdRemoved: Duration { host.holdRemoved }

  package func member(_ id: BackendID) -> Member? { position(id).map { members[$0] } }

  // Inlined, or each report copies the group for it.
  @inline(__always)
  func position(_ id: BackendID) -> Int? { index.isEmpty ? members.firstIndex { $0.id == id } : index[id] }

  /// The domains that may bring members.
  var domains: Set<DomainName> { claim == .dissolving ? [] : sourceDomains }

  var sourceDomains: Set<DomainName> { Set(specification.members.compactMap(\.domain)) }

  /// Dissolved, and nobody is left.
  /// Neither configuration nor DNS describes it any more; it serves on until its members have gone.
  package var isDissolving: Bool { claim == .dissolving }

  var isGone: Bool { claim == .dissolving && members.isEmpty }

  var probeTargets: [ProbeTarget] {
    members.map { ProbeTarget(member: MemberKey(group: name, backend: $0.id), address: $0.address, check: $0.check) }
  }

  // MARK: Membership

  /// - Returns: whether there is a new member. An address that is a member already only gets another name; an id that is taken by
  ///   another address (a configured id that looks like a discovered one) stays with its first owner.
  ///
  /// Members are out of order until `reindex`.
  mutating func insert(id: BackendID, address: SocketAddress, naming: Member.Naming, now: Instant) -> Bool {
    if let position = members.firstIndex(where: { $0.address == address }) {
      members[position].namings.removeAll { $0.rank == naming.rank }
      let place = members[position].namings.firstIndex { $0.rank > naming.rank } ?? members[position].namings.endIndex
      members[position].namings.insert(naming, at: place)
      return false
    }
    guard position(id) == nil else { return false }
    if !index.isEmpty { index[id] = members.count }
    var member = Member(id: id, address: address, naming: naming, source: sources[naming.rank], now: now)
    member.orders = standingOrders[id] ?? []
    members.append(member)
    isAnnounced = false
    return true
  }

  mutating func insertFixed(now: Instant, into outcome: inout Outcome) {
    for (rank, source) in specification.members.enumerated() {
      guard case .fixed(let id, let address) = source.origin else { continue }
      guard insert(id: id, address: address, naming: Member.Naming(rank: rank), now: now) else { continue }
      outcome.membershipChanged = true
      outcome.record(.memberAdded, to: id, reason: .configured)
    }
  }

  mutating func reindex() {
    let order: (Member, Member) -> Bool = { ($0.rank, $0.tier, $0.address) < ($1.rank, $1.tier, $1.address) }
    if zip(members, members.dropFirst()).contains(where: { order($1, $0) }) {
      members.sort(by: order)
      isAnnounced = false
    }
    index = members.count <= 16 ? [:] : Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.id, $0) })
  }
}

extension MemberSource {
  var domain: DomainName? { if case .domain(let domain, _) = origin { domain } else { nil } }
}

/// What is the same for all groups of this host.
final class Host: Sendable {
  /// How long a member stays that nothing names any more.
  let holdRemoved: Duration
  let zone: String?

  init(holdRemoved: Duration, zone: String?) {
    self.holdRemoved = holdRemoved
    self.zone = zone
  }
}
