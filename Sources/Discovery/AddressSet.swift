import Model

/// What the two address families of a name brought together, and what is remembered of each.
///
/// The families fail apart: one broken AAAA server must not take away the IPv4 backends, nor hide that they changed.
struct AddressSet: Hashable, Sendable {
  /// What one family's lookup brought, after the address filter.
  enum Finding: Hashable, Sendable {
    case addresses([IPAddress], timeToLive: Duration)
    case empty(timeToLive: Duration?)
    case failed(DNSFailure)
  }

  struct Merge: Hashable, Sendable {
    var outcome: DiscoveryUpdate.Outcome
    var finding: RefreshPolicy.Finding
    /// Addresses above `maximumAddresses` that were left out.
    var omitted = 0
  }

  static let maximumAddresses = 64

  private var v4: [IPAddress] = []
  private var v6: [IPAddress] = []

  /// The last good addresses of both families: sorted, without repeats, and at most 64. The smallest stay, so that an answer
  /// which only changes its order stays the same set.
  private(set) var known: [IPAddress] = []

  mutating func merge(a: Finding, aaaa: Finding) -> Merge {
    Self.remember(a, in: &v4)
    Self.remember(aaaa, in: &v6)
    let all = Set(v4).union(v6).sorted()
    known = Array(all.prefix(Self.maximumAddresses))
    let omitted = all.count - known.count

    switch (a, aaaa) {
    case (.addresses(_, let first), .addresses(_, let second)):
      return Merge(outcome: .answer(known), finding: .answered(timeToLive: min(first, second), isPartial: false), omitted: omitted)
    case (.addresses(_, let timeToLive), .empty), (.empty, .addresses(_, let timeToLive)):
      // The denial's TTL is that of the other family; it must not shorten this one's.
      return Merge(outcome: .answer(known), finding: .answered(timeToLive: timeToLive, isPartial: false), omitted: omitted)
    case (.addresses(_, let timeToLive), .failed), (.failed, .addresses(_, let timeToLive)):
      return Merge(outcome: .answer(known), finding: .answered(timeToLive: timeToLive, isPartial: true), omitted: omitted)
    case (.empty(let first), .empty(let second)):
      return Merge(outcome: .empty, finding: .empty(timeToLive: [first, second].compactMap { $0 }.min()))
    case (.empty, .failed(let failure)), (.failed(let failure), .empty):
      return Merge(outcome: known.isEmpty ? .failed(failure) : .answer(known), finding: .failed, omitted: omitted)
    case (.failed(let failure), .failed):
      return Merge(outcome: .failed(failure), finding: .failed)
    }
  }

  private static func remember(_ finding: Finding, in family: inout [IPAddress]) {
    switch finding {
    case .addresses(let addresses, _): family = addresses
    case .empty: family = []
    case .failed: break
    }
  }
}
