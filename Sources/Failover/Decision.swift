package import Model

/// One line of the audit history: what was decided, why, and from which evidence.
package struct Decision: Hashable, Sendable {
  package enum Kind: String, CaseIterable, Hashable, Sendable {
    /// The group's first primary, or after a restart the one of the run before.
    case elected
    /// Another member became primary because the old one could not serve, or because DNS names another.
    case failover
    /// The preferred member took over again by itself.
    case failback
    /// A person chose the primary.
    case manual
    /// Nobody can serve: new connections wait.
    case holdBegan = "hold_began"
    case holdEnded = "hold_ended"
    /// More than one member proved to be writable. The current one is kept.
    case twoWritable = "two_writable"
    case groupCreated = "group_created"
    /// It is described otherwise than before, by configuration or DNS, and was changed in place.
    case groupChanged = "group_changed"
    case groupDeleted = "group_deleted"
    case memberAdded = "member_added"
    case memberRemoved = "member_removed"
    case healthChanged = "health_changed"
    case roleChanged = "role_changed"
    /// An answer names addresses that this group may not use.
    case addressRefused = "address_refused"
    /// A person, or a window, takes a backend out of service, or puts it back.
    case drained
    case undrained
    case maintenanceBegan = "maintenance_began"
    case maintenanceEnded = "maintenance_ended"
    /// It was due, and nobody else could have served.
    case maintenanceCancelled = "maintenance_cancelled"
    /// The score of a member fell below, or rose above, a bound of `predictive`.
    case degraded
    case restored
    /// Changes of primary that were due are not made, for a while.
    case failoversSuspended = "failovers_suspended"
    case failoversResumed = "failovers_resumed"
    /// A person's choice of primary is over.
    case overrideLifted = "override_lifted"
    /// A group in shadow mode would have changed its primary.
    case shadowed

    /// Whether the group's primary is another one afterwards.
    package var changesPrimary: Bool {
      switch self {
      case .failover, .failback, .manual: true
      case .elected, .holdBegan, .holdEnded, .twoWritable, .groupCreated, .groupChanged, .groupDeleted, .memberAdded,
        .memberRemoved, .healthChanged, .roleChanged, .addressRefused, .drained, .undrained, .maintenanceBegan,
        .maintenanceEnded, .maintenanceCancelled, .degraded, .restored, .failoversSuspended, .failoversResumed,
        .overrideLifted, .shadowed:
        false
      }
    }
  }

  package let sequence: UInt64
  package let at: Instant
  package let group: GroupName
  package let kind: Kind
  package let from: BackendID?
  package let to: BackendID?
  package let reason: Reason
  /// What each member looked like at that moment, one line each.
  package let evidence: [String]
  /// Of a change of primary because it went down: how long it had given no sign of life when that was found. Nil for all others.
  package let detection: Duration?
}

/// Why the engine decided what it decided. `label` is for metrics, `description` for people.
package enum Reason: Hashable, Sendable, CustomStringConvertible {
  case firstElection
  /// It led when the last run ended: a restart is no failover.
  case ledBefore
  case primaryDown(ProbeFailure)
  /// The primary itself says that it is a replica.
  case primaryDemoted
  /// The primary has not proved its role for longer than the proof is believed.
  case roleUnproved
  case primaryRemoved
  /// DNS drained the primary, or put it into maintenance.
  case primaryDrained(Member.Administrative)
  case preferredReady(since: Duration)
  /// DNS gave the designation to another member: an instruction, not a recovery.
  case designationMoved
  /// Of two writable servers, this one was promoted later.
  case higherTimeline(UInt32, over: UInt32)
  case operatorRequest(forced: Bool)
  case nobodyEligible
  case somebodyEligible
  case bothWritable([BackendID])
  /// `age` is nil for news; else the answer is from an earlier run.
  case appearedInDNS(DomainName, age: Duration?)
  case leftDNS
  /// An SRV record with the target `.` took its place.
  case drainedByDNS
  case configured
  /// Names of the parts of the group's description that differ.
  case describedOtherwise([String])
  case leftConfiguration
  case notAllowed([IPAddress])
  case tooManyFailovers(FailoverLimit)
  /// There is room for another change within the limit.
  case failoversInLimit
  /// So many members of so many that answered fell silent at once: this host is a likelier cause than all of them.
  case networkSuspected(silent: Int, of: Int)
  case networkProved
  case probesPassed
  case probesFailed(ProbeFailure)
  case roleReported(Role)
  /// An operator, or the drain before a maintenance, took the primary out of service.
  case primaryOrderedOut(byWindow: Bool)
  /// The primary still works, and so badly that another is better.
  case primaryDegraded(score: Int)
  case scoreChanged(Int)
  case maintenanceWindow(String)
  /// Nobody else in the group could have served during this maintenance window.
  case noAlternative(window: String)

  /// A person took the primary out, or planned to.
  package var isAskedFor: Bool { if case .primaryOrderedOut = self { true } else { false } }

  /// The labels under which a change of primary is counted.
  package static let labelsOfChanges = [
    "primary_down", "primary_demoted", "role_unproved", "primary_removed", "primary_drained", "primary_degraded",
    "designation_moved", "higher_timeline", "failback", "manual",
  ]

  package var label: String {
    switch self {
    case .firstElection: "first_election"
    case .ledBefore: "led_before"
    case .primaryDown: "primary_down"
    case .primaryDemoted: "primary_demoted"
    case .roleUnproved: "role_unproved"
    case .primaryRemoved: "primary_removed"
    case .primaryDrained: "primary_drained"
    case .preferredReady: "failback"
    case .designationMoved: "designation_moved"
    case .higherTimeline: "higher_timeline"
    case .operatorRequest: "manual"
    case .nobodyEligible: "nobody_eligible"
    case .somebodyEligible: "somebody_eligible"
    case .bothWritable: "two_writable"
    case .appearedInDNS: "appeared_in_dns"
    case .leftDNS: "left_dns"
    case .drainedByDNS: "drained_by_dns"
    case .configured: "configured"
    case .describedOtherwise: "described_otherwise"
    case .leftConfiguration: "left_configuration"
    case .notAllowed: "not_allowed"
    case .tooManyFailovers, .failoversInLimit: "maximum_failovers"
    case .networkSuspected, .networkProved: "network"
    case .probesPassed: "probes_passed"
    case .probesFailed: "probes_failed"
    case .roleReported: "role_reported"
    case .primaryOrderedOut: "primary_drained"
    case .primaryDegraded: "primary_degraded"
    case .scoreChanged: "score_changed"
    case .maintenanceWindow: "maintenance_window"
    case .noAlternative: "no_alternative"
    }
  }

  package var description: String {
    switch self {
    case .firstElection: "first election of this run"
    case .ledBefore: "it was the primary before the restart"
    case .primaryDown(let failure): "the primary is down (\(failure))"
    case .primaryDemoted: "the primary says that it is a replica"
    case .roleUnproved: "the primary has not proved in time that it can lead"
    case .primaryRemoved: "the primary is no longer a member"
    case .primaryDrained(.maintenance): "the primary is in maintenance"
    case .primaryDrained: "DNS drains the primary"
    case .preferredReady(let since): "the preferred primary has been ready for \(since.text)"
    case .designationMoved: "another member is named as the primary now"
    case .higherTimeline(let new, let old): "it is writable on timeline \(new), the primary on \(old): it was promoted later"
    case .operatorRequest(let forced): forced ? "requested by an operator, forced" : "requested by an operator"
    case .nobodyEligible: "no member can serve; new connections wait"
    case .somebodyEligible: "a member can serve again"
    case .bothWritable(let ids): "more than one member is writable: \(ids.map(\.rawValue).joined(separator: ", "))"
    case .appearedInDNS(let domain, nil): "\(domain) resolves to it"
    case .appearedInDNS(let domain, let age?):
      "\(domain) resolved to it (remembered from an earlier run, \(Duration.seconds(age.nanoseconds / 1_000_000_000).text) old)"
    case .leftDNS: "DNS no longer names it"
    case .drainedByDNS: "DNS drained it"
    case .configured: "configured"
    case .describedOtherwise(let parts): "described otherwise than before: \(parts.joined(separator: ", "))"
    case .leftConfiguration: "neither configuration nor DNS describes it any more"
    case .notAllowed(let addresses):
      "not in the group's allowed ranges: \(addresses.prefix(8).map(\.description).joined(separator: ", "))"
        + (addresses.count > 8 ? " and \(addresses.count - 8) more" : "")
    case .tooManyFailovers(let limit):
      "\(limit.count) automatic changes of primary within \(limit.within.text); no more until that span has moved on"
    case .failoversInLimit: "the span of maximum_failovers has moved on"
    case .networkSuspected(let silent, let of):
      "\(silent) of \(of) backends fell silent at once: this host's network is suspected"
    case .networkProved: "backends answer again: this host's network works"
    case .probesPassed: "its probes pass"
    case .probesFailed(let failure): "its probes fail (\(failure))"
    case .roleReported(let role): "it reports the role \(role.rawValue)"
    case .primaryOrderedOut(let byWindow):
      byWindow ? "the maintenance of the primary begins soon" : "an operator drained the primary"
    case .primaryDegraded(let score): "the health score of the primary is \(score)"
    case .scoreChanged(let score): "its health score is \(score)"
    case .maintenanceWindow(let id): "maintenance window '\(id)'"
    case .noAlternative(let id): "maintenance window '\(id)' is cancelled: nobody else in the group could serve"
    }
  }
}
