package import Model

/// One failover group: its members, who leads, and since when.
///
/// The intuition: facts change members, `settle` then looks at all of them and decides again from nothing but the facts, the current
/// leader and the time. No decision is remembered other than the leader, the operator's override and the instant of the last change,
/// so there is no second state machine that could disagree.
///
/// Invariants (see `Engine.violations`): at most one member of an active-passive group serves role `primary`; members are ordered by rank, then address, and indexed by id.
package struct Group: Sendable {
  /// An operator's choice. It wins over every automatic input until it is lifted or its backend is gone.
  package struct Override: Hashable, Sendable {
    package let backend: BackendID
    /// Serves although its probes fail, until it is eligible. Never sends writes to a server whose role is not proved.
    package var force: Bool
    /// No automatic failover away from it.
    package let pin: Bool
  }

  package let specification: GroupSpecification
  let holdRemoved: Duration
  package internal(set) var members: [Member] = []
  private var index: [BackendID: Int] = [:]
  /// For each member, the positions in `specification.members` that name it.
  var namedBy: [BackendID: Set<Int>] = [:]

  /// The current primary. In normal mode it is what `role: primary` listeners and the API mean; traffic is spread regardless.
  package internal(set) var leader: BackendID?
  package internal(set) var lastChange: Instant?
  package internal(set) var lastFailover: Instant?
  package internal(set) var failoverCount = 0
  package internal(set) var override: Override?
  package internal(set) var holding = false
  var hasServed = false
  /// The leader has been the designated primary while it led. If it is not any more, DNS has taken the designation away: an
  /// instruction, unlike a recovery.
  var leaderWasDesignated = false
  var alarmedAboutTwoWritable = false
  /// Domains that have had no authoritative outcome yet.
  var unresolvedDomains: Set<DomainName> = []
  /// From then on the first election no longer waits for a designated primary that nobody has seen.
  let electsAnyoneFrom: Instant

  init(_ specification: GroupSpecification, holdRemoved: Duration, now: Instant) {
    self.specification = specification
    self.holdRemoved = holdRemoved
    electsAnyoneFrom = now + specification.holdTimeout
    unresolvedDomains = domains
    for (rank, source) in specification.members.enumerated() {
      if case .fixed(let id, let address) = source.origin {
        _ = insert(id: id, address: address, rank: rank, discovered: .configured, now: now)
      }
    }
    // One address may be configured twice, once as the primary. Who reads the new group reads all of it: nothing to report.
    var unreported = Outcome()
    rederiveAttributes(now: now, into: &unreported)
  }

  package var name: GroupName { specification.name }

  package func member(_ id: BackendID) -> Member? { index[id].map { members[$0] } }

  func position(_ id: BackendID) -> Int? { index[id] }

  func names(_ domain: DomainName) -> Bool {
    specification.members.contains { if case .domain(domain, _) = $0.origin { true } else { false } }
  }

  var domains: Set<DomainName> {
    Set(specification.members.compactMap { if case .domain(let domain, _) = $0.origin { domain } else { nil } })
  }

  // MARK: Membership

  /// - Returns: whether there is a new member. An address that is a member already only gets another name; an id that is taken by
  ///   another address (a configured id that looks like a discovered one) stays with its first owner.
  mutating func insert(id: BackendID, address: SocketAddress, rank: Int, discovered: Member.Discovered, now: Instant) -> Bool {
    let source = specification.members[rank]
    if let existing = members.first(where: { $0.address == address }) {
      namedBy[existing.id, default: []].insert(rank)
      return false
    }
    guard index[id] == nil else { return false }
    members.append(Member(id: id, address: address, rank: rank, source: source, discovered: discovered, now: now))
    namedBy[id] = [rank]
    reindex()
    return true
  }

  mutating func remove(_ id: BackendID) {
    members.removeAll { $0.id == id }
    namedBy[id] = nil
    reindex()
  }

  mutating func reindex() {
    members.sort { ($0.rank, $0.address) < ($1.rank, $1.address) }
    index = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.id, $0) })
  }
}
