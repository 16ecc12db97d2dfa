import Model

/// What the answers of the parts mean together. Pure.
enum CriteriaVerdict: Hashable, Sendable {
  case passed(Role?, Replication?)
  case failed(ProbeFailure)
}

/// Criteria, with their leaves numbered from left to right.
indirect enum CriteriaTree: Hashable, Sendable {
  case leaf(Int, label: String, provesRole: Bool)
  case all([CriteriaTree])
  case any([CriteriaTree])
  case not(CriteriaTree)

  /// Nil while the answers so far decide nothing. `answers` are those of the leaves, nil where there is none yet.
  func verdict(_ answers: [CriteriaVerdict?]) -> CriteriaVerdict? {
    switch self {
    case .leaf(let number, let label, _):
      guard case .failed(let failure)? = answers[number] else { return answers[number] }
      return .failed(ProbeFailure(failure.kind, "\(label): \(failure.detail)"))
    case .all(let parts):
      let verdicts = parts.map { $0.verdict(answers) }
      for case .failed(let failure)? in verdicts { return .failed(ProbeFailure(failure.kind, "all: \(failure.detail)")) }
      return verdicts.contains(nil) ? nil : Self.firstWithRole(verdicts)
    case .any(let parts):
      return Self.any(parts, parts.map { $0.verdict(answers) })
    case .not(let part):
      switch part.verdict(answers) {
      case nil: return nil
      case .passed: return .failed(ProbeFailure(.badResponse, "not: \(part.label) passes"))
      // That we could not even ask proves nothing, neither way.
      case .failed(let failure) where failure.kind == .local:
        return .failed(ProbeFailure(.local, "not: \(failure.detail)"))
      case .failed: return .passed(nil, nil)
      }
    }
  }

  private static func any(_ parts: [CriteriaTree], _ verdicts: [CriteriaVerdict?]) -> CriteriaVerdict? {
    if case .passed(let role, let replication) = firstWithRole(verdicts) {
      // The role is worth waiting for: without it a pass leaves the member's role unknown.
      let roleMayCome = role == nil && zip(parts, verdicts).contains { $0.provesRole && $1 == nil }
      return roleMayCome ? nil : .passed(role, replication)
    }
    guard !verdicts.contains(nil) else { return nil }
    let failures = verdicts.compactMap { if case .failed(let failure)? = $0 { failure } else { nil } }
    // One that could not be asked does not excuse those that were.
    let kind = failures.first { $0.kind != .local }?.kind ?? .local
    return .failed(ProbeFailure(kind, printable("any: " + failures.map(\.detail).joined(separator: "; "))))
  }

  /// Of those that pass, the first that says more than that; nil if none passes.
  private static func firstWithRole(_ verdicts: [CriteriaVerdict?]) -> CriteriaVerdict? {
    var first: CriteriaVerdict?
    for case .passed(let role, let replication)? in verdicts {
      if role != nil { return .passed(role, replication) }
      first = first ?? .passed(nil, replication)
    }
    return first
  }

  var containsNot: Bool {
    switch self {
    case .leaf: false
    case .all(let parts), .any(let parts): parts.contains { $0.containsNot }
    case .not: true
    }
  }

  private var provesRole: Bool {
    switch self {
    case .leaf(_, _, let provesRole): provesRole
    case .all(let parts), .any(let parts): parts.contains { $0.provesRole }
    case .not: false
    }
  }

  private var label: String {
    switch self {
    case .leaf(_, let label, _): label
    case .all: "all"
    case .any: "any"
    case .not(let part): "not \(part.label)"
    }
  }
}
