import Failover
import Model

/// The answer of `GET /groups/{name}/explain`, as the API writes it and `leba explain` reads it.
package struct ExplanationView: Codable, Sendable {
  package struct Input: Codable, Sendable {
    package let name: String
    package let value: String
    package let ageSeconds: Double?
  }

  package struct Backend: Codable, Sendable {
    package let id: String
    package let designated: Bool
    package let eligible: Bool
    package let reason: String
    package let facts: [Input]
  }

  package let group: String
  package let mode: String
  package let state: String
  package let primaryKey: String?
  package let rule: String
  package let decision: String
  package let inputs: [Input]
  package let backends: [Backend]
  package let wouldChange: [String]

  init(_ explanation: Explanation, now: Instant) {
    let snapshot = explanation.snapshot
    group = snapshot.name.rawValue
    mode = snapshot.mode.rawValue
    state = snapshot.state.rawValue
    primaryKey = snapshot.primary?.rawValue
    rule = explanation.rule
    decision = explanation.decision
    inputs = explanation.inputs.map { Input(name: $0.name, value: $0.value, ageSeconds: $0.age?.seconds) }
    backends = snapshot.members.map { Backend($0, now: now) }
    wouldChange = explanation.changes
  }

  enum CodingKeys: String, CodingKey {
    case group, mode, state, primaryKey, rule, decision, inputs, backends, wouldChange
  }

  package func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(group, forKey: .group)
    try values.encode(mode, forKey: .mode)
    try values.encode(state, forKey: .state)
    try values.encode(primaryKey, forKey: .primaryKey)
    try values.encode(rule, forKey: .rule)
    try values.encode(decision, forKey: .decision)
    try values.encode(inputs, forKey: .inputs)
    try values.encode(backends, forKey: .backends)
    try values.encode(wouldChange, forKey: .wouldChange)
  }
}

extension ExplanationView.Backend {
  /// The four facts of docs/FAILOVER.md, each with the time since it holds or was proved, and what else has a say.
  init(_ member: MemberSnapshot, now: Instant) {
    id = member.id.rawValue
    designated = member.designated
    eligible = member.eligible
    reason = member.reason
    var facts: [ExplanationView.Input] = []
    func tell(_ name: String, _ value: String, _ age: Duration? = nil) {
      facts.append(.init(name: name, value: value, ageSeconds: age?.seconds))
    }
    tell("administrative", member.administrative.rawValue)
    tell("discovered", member.discovered.words, member.discovered.since.map { now - $0 })
    tell("health", member.health.rawValue, now - member.healthSince)
    if let role = member.role { tell("role", role.rawValue, member.roleAge) }
    if let timeline = member.replication?.timeline { tell("timeline", String(timeline), member.roleAge) }
    if let lag = member.replication?.lagTime { tell("lag", lag.text, member.roleAge) }
    if let lag = member.replication?.lagBytes { tell("lag_bytes", String(lag), member.roleAge) }
    if let score = member.score { tell("score", String(score)) }
    tell("weight", String(member.weight))
    if member.share < 100 { tell("share", "\(member.share)%") }
    if member.tier > 0 { tell("tier", String(member.tier)) }
    self.facts = facts
  }
}
