import Model

extension CriteriaTree {
  /// One check of the criteria, and where it is asked.
  struct Leaf: Hashable, Sendable {
    let kind: HealthCheck.Kind
    let port: UInt16?
  }

  /// Parts within parts. Configuration allows fewer; here it only keeps the stack from running out.
  static let maximumDepth = 32

  /// Nil if the criteria are nested too deeply.
  init?(_ criteria: Criteria, leaves: inout [Leaf], depth: Int = 0) {
    guard depth < Self.maximumDepth else { return nil }
    switch criteria {
    case .check(.criteria(let inner), nil):
      self.init(inner, leaves: &leaves, depth: depth + 1)
    case .check(let kind, let port):
      leaves.append(Leaf(kind: kind, port: port))
      self = .leaf(leaves.count - 1, label: kind.label(port: port), provesRole: kind.provesRole)
    case .all(let parts):
      guard let parts = Self.trees(parts, leaves: &leaves, depth: depth) else { return nil }
      self = .all(parts)
    case .any(let parts):
      guard let parts = Self.trees(parts, leaves: &leaves, depth: depth) else { return nil }
      self = .any(parts)
    case .not(let part):
      guard let part = CriteriaTree(part, leaves: &leaves, depth: depth + 1) else { return nil }
      self = .not(part)
    }
  }

  private static func trees(_ parts: [Criteria], leaves: inout [Leaf], depth: Int) -> [CriteriaTree]? {
    var trees: [CriteriaTree] = []
    for part in parts {
      guard let tree = CriteriaTree(part, leaves: &leaves, depth: depth + 1) else { return nil }
      trees.append(tree)
    }
    return trees.isEmpty ? nil : trees
  }
}

extension HealthCheck.Kind {
  /// What tells this part from its neighbours.
  fileprivate func label(port: UInt16?) -> String {
    let what =
      switch self {
      case .http(let check): "\(name) \(printable(check.path))"
      case .exec(let check): "\(name) \(printable(check.command.first ?? ""))"
      case .tcp, .tls, .postgres, .mysql, .redis, .criteria: name
      }
    return port.map { "\(what) (port \($0))" } ?? what
  }

  fileprivate var provesRole: Bool {
    if case .postgres(let check) = self { check.depth == .role } else { false }
  }
}
