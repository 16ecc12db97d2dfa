package import Model

/// A fact that reached the control loop. Facts are in the past tense; what follows from them is the engine's business.
package enum Event: Sendable {
  /// Configuration and DNS were read: all groups they describe now, in their order. A new one is added, one that is described
  /// otherwise than before is changed in place, one that is not described any more is dissolved. Groups that were made through the
  /// API are left alone, also where a described one has the same name.
  case groupsConfigured([GroupSpecification], leaving: Leaving)
  /// The same for a part: these are described otherwise than before, and those that are `gone` not any more; the rest stays as it is.
  case groupsChanged([GroupSpecification], gone: Set<GroupName>, leaving: Leaving)
  case probeFinished(ProbeReport)
  case discoveryUpdated(DiscoveryUpdate)
  case dataPathFailed(DataPathSignal)
  /// All maintenance windows of the file; those that were made through the API stay.
  case windowsConfigured([MaintenanceWindow])
  /// What the clock on the wall says now. Told at the start, and whenever it is not where the monotonic clock would have it.
  case wallClockRead(WallTime)
  /// What an earlier run left behind. Told before the groups are configured; a group that does not exist yet finds it when it is made.
  case remembered(groups: [GroupMemory], windows: [WindowMemory])
  /// Nothing happened but time: `Engine.nextDeadline` was reached.
  case deadlineReached
}

/// How groups and members go that are not described any more.
package enum Leaving: Hashable, Sendable {
  /// Like an address that leaves DNS: DNS may have said so by mistake, and may take it back.
  case afterHold
  /// A person changed a file.
  case atOnce
}

/// What the control loop has to do now. The engine does nothing itself.
package enum Effect: Hashable, Sendable {
  case publish(RoutingChange)
  /// The whole list of this group; empty when the group goes.
  case replaceProbes(of: GroupName, with: [ProbeTarget])
  /// One probe out of turn, because there is reason to doubt the member.
  case probeNow(MemberKey)
  case lookUpNow(DomainName)
  case record(Decision)
  /// To be kept over a restart. A later one for the same group takes its place.
  case remember(GroupMemory)
  /// The group is gone, and so is what is remembered of it.
  case forget(GroupName)
  /// All windows that were made through the API and are not over, and those of the file whose last occurrence was cancelled.
  case rememberWindows([WindowMemory])
}
