/// Why a group is as it is: the rule that fired, everything that went into it, and what would change it. For people.
package struct Explanation: Hashable, Sendable {
  /// Something that went into the decision and is not about one member: an override, an interval that runs, a suspicion.
  package struct Input: Hashable, Sendable {
    /// In the contract's words: `override`, `minimum_interval`, `maximum_failovers`, `failback`, `network`, `shadow`.
    package let name: String
    package let value: String
    /// Nil where it has no age.
    package let age: Duration?

    package init(name: String, value: String, age: Duration? = nil) {
      self.name = name
      self.value = value
      self.age = age
    }
  }

  /// A stable label: `primary_serves`, `override_serves`, `nobody_eligible`, `waiting_for_minimum_interval`, …
  package let rule: String
  /// One sentence.
  package let decision: String
  package let inputs: [Input]
  /// What would have to happen for another decision, one sentence each.
  package let changes: [String]
  package let snapshot: GroupSnapshot

  package init(rule: String, decision: String, inputs: [Input], changes: [String], snapshot: GroupSnapshot) {
    self.rule = rule
    self.decision = decision
    self.inputs = inputs
    self.changes = changes
    self.snapshot = snapshot
  }
}
