import Model

/// How far a replica is behind.
extension Member {
  var lagsTooFar: Bool {
    // The replication first: most members have none, and the other is looked for.
    guard let replication, let maximumLag else { return false }
    switch maximumLag {
    case .time(let maximum): return replication.lagTime.map { $0 > maximum } ?? false
    case .bytes(let maximum): return replication.lagBytes.map { $0 > maximum } ?? false
    }
  }

  /// `42s behind (maximum 10s)`, where it is more than its check allows.
  var excessiveLag: String? {
    guard lagsTooFar, let maximumLag, let replication else { return nil }
    switch maximumLag {
    case .time(let maximum): return replication.lagTime.map { "\($0.text) behind (maximum \(maximum.text))" }
    case .bytes(let maximum): return replication.lagBytes.map { "\($0) bytes behind (maximum \(maximum))" }
    }
  }
}
