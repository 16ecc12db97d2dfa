import Model

/// What one event led to within a group, before the engine numbers and orders it.
struct Outcome {
  struct Draft {
    let kind: Decision.Kind
    let from: BackendID?
    let to: BackendID?
    let reason: Reason
    let evidence: [String]
  }

  var decisions: [Draft] = []
  var probesNow: Set<MemberKey> = []
  var lookUps: Set<DomainName> = []
  var membershipChanged = false

  mutating func record(_ kind: Decision.Kind, from: BackendID? = nil, to: BackendID? = nil, reason: Reason, evidence: [String] = [])
  {
    decisions.append(Draft(kind: kind, from: from, to: to, reason: reason, evidence: evidence))
  }
}
