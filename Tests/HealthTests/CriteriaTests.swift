import Model
import Testing

@testable import Health

/// What answers mean together.
@Suite struct CriteriaVerdictTests {
  private func tree(_ criteria: Criteria) throws -> CriteriaTree {
    var leaves: [CriteriaTree.Leaf] = []
    return try #require(CriteriaTree(criteria, leaves: &leaves))
  }

  private let tcp = Criteria.check(.tcp, port: 9000)
  private let http = Criteria.check(.http(HTTPCheck(path: "/ready")), port: nil)
  private let postgres = Criteria.check(.postgres(PostgresCheck(depth: .role)), port: nil)
  private let passed = CriteriaVerdict.passed(nil, nil)
  private let primary = CriteriaVerdict.passed(.primary, Replication(timeline: 2))
  private let failed = CriteriaVerdict.failed(ProbeFailure(.badResponse, "status 503"))
  private let refused = CriteriaVerdict.failed(ProbeFailure(.refused, "connection refused"))
  private let local = CriteriaVerdict.failed(ProbeFailure(.local, "too many open files"))

  @Test func all() throws {
    let tree = try tree(.all([http, tcp]))
    #expect(tree.verdict([nil, nil]) == nil)
    #expect(tree.verdict([passed, nil]) == nil)
    #expect(tree.verdict([passed, passed]) == passed)
    #expect(tree.verdict([failed, nil]) == .failed(ProbeFailure(.badResponse, "all: http /ready: status 503")))
    #expect(tree.verdict([nil, refused]) == .failed(ProbeFailure(.refused, "all: tcp (port 9000): connection refused")))
  }

  @Test func any() throws {
    let tree = try tree(.any([http, tcp]))
    #expect(tree.verdict([failed, nil]) == nil)
    #expect(tree.verdict([nil, passed]) == passed)
    #expect(
      tree.verdict([failed, refused])
        == .failed(ProbeFailure(.badResponse, "any: http /ready: status 503; tcp (port 9000): connection refused")))
    #expect(
      tree.verdict([local, refused])
        == .failed(ProbeFailure(.refused, "any: http /ready: too many open files; tcp (port 9000): connection refused")))
  }

  @Test func not() throws {
    let tree = try tree(.not(http))
    #expect(tree.verdict([nil]) == nil)
    #expect(tree.verdict([failed]) == passed)
    #expect(tree.verdict([passed]) == .failed(ProbeFailure(.badResponse, "not: http /ready passes")))
    // That this host could not ask proves nothing.
    #expect(tree.verdict([local]) == .failed(ProbeFailure(.local, "not: http /ready: too many open files")))
  }

  @Test func rolesArePassedOn() throws {
    #expect(try tree(.all([tcp, postgres])).verdict([passed, primary]) == primary)
    let either = try tree(.any([tcp, postgres]))
    #expect(either.verdict([passed, nil]) == nil)
    #expect(either.verdict([nil, primary]) == primary)
    #expect(either.verdict([passed, refused]) == passed)
    #expect(try tree(.not(postgres)).verdict([primary]) != primary)
  }

  @Test func nested() throws {
    let tree = try tree(.all([http, .any([tcp, .not(http)])]))
    #expect(tree.verdict([passed, refused, failed]) == passed)
    #expect(
      tree.verdict([passed, refused, passed])
        == .failed(ProbeFailure(.refused, "all: any: tcp (port 9000): connection refused; not: http /ready passes")))
  }

  @Test func depthIsBounded() {
    var criteria = tcp
    for _ in 0..<31 { criteria = .not(criteria) }
    var leaves: [CriteriaTree.Leaf] = []
    #expect(CriteriaTree(criteria, leaves: &leaves) != nil)
    #expect(CriteriaTree(.not(criteria), leaves: &leaves) == nil)
    #expect(CriteriaTree(.all([]), leaves: &leaves) == nil)
  }
}
