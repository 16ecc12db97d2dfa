package import Model

/// A fact that reached the control loop. Facts are in the past tense; what follows from them is the engine's business.
package enum Event: Sendable {
  /// The configuration was read: its groups, in its order. Groups that exist already are left alone.
  case groupsConfigured([GroupSpecification])
  case probeFinished(ProbeReport)
  case discoveryUpdated(DiscoveryUpdate)
  case dataPathFailed(DataPathSignal)
  /// Nothing happened but time: `Engine.nextDeadline` was reached.
  case deadlineReached
}

/// What the control loop has to do now. The engine does nothing itself.
package enum Effect: Hashable, Sendable {
  case publish(RoutingTable)
  case replaceProbePlan([ProbeTarget])
  /// One probe out of turn, because there is reason to doubt the member.
  case probeNow(MemberKey)
  case lookUpNow(DomainName)
  case record(Decision)
}
