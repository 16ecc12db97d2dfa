package import Failover
package import LebaConfiguration
package import Model

/// What the API needs of the process it controls. The sidecar implements it on top of its control loop, so that every answer is
/// consistent and every request takes its place in the one order of events.
///
/// What throws has changed nothing then, and neither has a dry run, which answers what the request would.
package protocol ControlPlane: Sendable {
  /// Whether another process is taking over: what is asked for now might be forgotten.
  var isHandingOver: Bool { get }
  func view() async -> ControlView
  func status() async -> StatusView
  /// Sessions in being, per member.
  func activeConnections() async -> [MemberKey: Int]
  /// Probes and bytes, per member; no entry where nothing is known.
  func memberStatistics() async -> [MemberKey: MemberStatistics]
  /// Metrics of the data path, of discovery and of the probes.
  func metrics() async -> [MetricFamily]

  // MARK: Groups

  /// Why the group is as it is, and the instant it was asked; nil when there is no such group.
  func explanation(of group: GroupName) async -> (Explanation, now: Instant)?
  func createGroup(_ request: GroupRequest, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func setPrimary(_ request: PrimaryRequest, of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func liftOverride(of group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func deleteGroup(_ name: GroupName, dryRun: Bool) async throws(ControlError)
  /// The group afterwards.
  func addMember(_ request: MemberRequest, to group: GroupName, dryRun: Bool) async throws(ControlError) -> GroupSnapshot
  func removeMember(_ backend: BackendID, from group: GroupName, dryRun: Bool) async throws(ControlError)

  // MARK: Backends

  /// Those that the file or a request declares.
  func backends() async -> [DeclaredBackend]
  func addBackend(_ request: BackendRequest, dryRun: Bool) async throws(ControlError) -> DeclaredBackend
  /// Refused while a group uses it, or when the file declares it.
  func removeBackend(_ backend: BackendID, dryRun: Bool) async throws(ControlError)
  /// Both give the groups that have the backend, as they are afterwards.
  func drain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot]
  func undrain(_ backend: BackendID, dryRun: Bool) async throws(ControlError) -> [GroupSnapshot]

  // MARK: Maintenance

  /// By next start.
  func windows() async -> [WindowSnapshot]
  func schedule(_ request: MaintenanceRequest, dryRun: Bool) async throws(ControlError) -> WindowSnapshot
  func cancelWindow(_ id: String, dryRun: Bool) async throws(ControlError)

  // MARK: History

  /// What was recorded, of earlier runs too. Shows all that was published to `eventFeed` before: what falls between the two, a client
  /// that asks for history and then listens would miss.
  func events(_ query: EventQuery) async -> EventPage
  /// What is recorded from now on, with the sequences of the history.
  var eventFeed: EventFeed { get }

  // MARK: Configuration

  /// What counts now: the file as it was last read, with what came through the API and through DNS.
  func effectiveConfiguration() async -> Configuration
  /// Reads the file again, and takes over what differs. Throws `refused` with its diagnostics when it is not valid.
  func reload(dryRun: Bool) async throws(ControlError) -> ReloadReport

  // MARK: DNS

  func dnsStatus() async -> DNSStatusView
  /// Asks for an early lookup of one name, or of all. Returns those concerned.
  func refreshDNS(_ domain: DomainName?, dryRun: Bool) async throws(ControlError) -> [DomainName]
  func dnsEntries() async -> [DNSEntry]
  func addDNSEntry(_ request: DNSEntryRequest, dryRun: Bool) async throws(ControlError) -> DNSEntry
  func removeDNSEntry(_ domain: DomainName, dryRun: Bool) async throws(ControlError)
}

/// One consistent look at the engine.
package struct ControlView: Sendable {
  package let now: Instant
  package let groups: [GroupSnapshot]
  package let counts: DecisionCounts

  package init(now: Instant, groups: [GroupSnapshot], counts: DecisionCounts) {
    self.now = now
    self.groups = groups
    self.counts = counts
  }
}

package enum ControlError: Error, Sendable {
  case command(CommandError)
  case dnsEntry(DNSEntryRefusal)
  /// The request is well-formed and makes no sense; says why.
  case invalid(String)
  /// What it is about does not exist; says what.
  case unknown(String)
  /// It contradicts what is; says how.
  case conflict(String)
  /// The configuration file is not valid: its diagnostics, one line each.
  case refused([String])
  /// Not now; says why.
  case unavailable(String)
}
