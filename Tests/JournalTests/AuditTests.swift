import Foundation
import GRDB
import Model
import TestSupport
import Testing

@testable import Journal

/// The audit history over restarts, kills, full disks and meddling hands.
@Suite struct AuditTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  private func record(
    _ kind: String, of group: String = "pg", at: Int64 = 1_800_000_000_000, chain: AuditRecord.Chain = .decisions
  ) -> AuditRecord {
    AuditRecord(
      chain: chain, at: at, group: group, kind: kind, from: "a", to: nil, label: "primary_down", reason: "it is \"down\"",
      evidence: ["a: down", "b: up"])
  }

  private func connection() throws -> DatabaseQueue { try DatabaseQueue(path: notebook.database) }

  @Test func `records survive a restart in their order, and the numbers go on`() async throws {
    let first = notebook.open()
    first.append(record("elected"))
    first.append(record("member_added", chain: .routine))
    first.append(record("failover"))
    first.close()
    let second = notebook.open()
    second.append(record("manual"))
    let records = await second.records(AuditQuery())
    #expect(records.map(\.kind) == ["manual", "failover", "member_added", "elected"])
    #expect(records.map(\.id) == [4, 3, 2, 1])
    #expect(records.dropFirst().map { $0.hash?.count } == [64, 64, 64])
    #expect(records[1].evidence == ["a: down", "b: up"])
    #expect(records[1].from == "a" && records[1].to == nil && records[1].reason == "it is \"down\"")
    second.close()
  }

  @Test func `a decision is on the disk before a kill a moment later`() async throws {
    let journal = notebook.open(Journal.Limits())
    journal.append(record("failover"))
    #expect(journal.lastRecord == 1)
    try await eventually("the record is on the disk") {
      var count = 0
      try notebook.afterKill { killed in
        // Asked of the database itself: the copy's journal has nothing in memory.
        killed.close()
        count = try DatabaseQueue(path: notebook.database).read { try Int.fetchOne($0, sql: "SELECT count(*) FROM audit") ?? 0 }
      }
      return count == 1
    }
    journal.close()
  }

  @Test func `queries choose by group, kind, time and place`() async {
    let journal = notebook.open()
    for number in 1...6 {
      journal.append(
        record(number % 2 == 0 ? "failover" : "elected", of: number < 4 ? "a" : "b", at: 1_800_000_000_000 + Int64(number) * 100))
    }
    for _ in 0..<2 {
      #expect(await journal.records(AuditQuery(group: "a")).map(\.id) == [3, 2, 1])
      #expect(await journal.records(AuditQuery(kinds: ["failover"])).map(\.id) == [6, 4, 2])
      #expect(await journal.records(AuditQuery(since: 1_800_000_000_500)).map(\.id) == [6, 5])
      #expect(await journal.records(AuditQuery(limit: 2)).map(\.id) == [6, 5])
      #expect(await journal.records(AuditQuery(before: 5, limit: 2)).map(\.id) == [4, 3])
      #expect(await journal.records(AuditQuery(after: 2, oldestFirst: true, limit: 2)).map(\.id) == [3, 4])
      #expect(await journal.records(AuditQuery(kinds: ["failover", "elected"], before: 3)).map(\.id) == [2, 1])
      // The second time from the disk.
      journal.store(FactKey(.group, "g"), json: "1")
      await withCheckedContinuation { continuation in
        journal.store(FactKey(.group, "g"), json: "2") { _ in continuation.resume() }
      }
    }
    journal.close()
  }

  @Test func `a whole history is told from one with a changed, a missing and a cut record`() async throws {
    let journal = notebook.open()
    for number in 0..<10 { journal.append(record("failover", chain: number % 3 == 0 ? .routine : .decisions)) }
    journal.close()
    let sound = try Data(contentsOf: URL(fileURLWithPath: notebook.database))

    func verdict(after sql: String?) async throws -> AuditVerdict {
      try sound.write(to: URL(fileURLWithPath: notebook.database))
      if let sql { try await connection().write { try $0.execute(sql: sql) } }
      let journal = notebook.open()
      defer { journal.close() }
      return await journal.verifyAudit()
    }

    #expect(try await verdict(after: nil) == .whole(records: 10))
    #expect(
      try await verdict(after: "UPDATE audit SET reason = 'nothing' WHERE id = 5")
        == .broken(at: 5, problem: "the record, or one before it, was changed"))
    #expect(
      try await verdict(after: "UPDATE audit SET old = NULL WHERE id = 5")
        == .broken(at: 5, problem: "the record, or one before it, was changed"))
    #expect(
      try await verdict(after: "DELETE FROM audit WHERE id = 5") == .broken(at: 6, problem: "1 records before it are missing"))
    #expect(try await verdict(after: "DELETE FROM audit WHERE id > 7") == .broken(at: 7, problem: "the newest records are missing"))
    #expect(try await verdict(after: "DELETE FROM audit") == .broken(at: 0, problem: "all records of a chain are missing"))
  }

  @Test func `old and too many records go from the far end, and the rest is still whole`() async throws {
    var limits = Journal.Limits.unhurried
    limits.records = [.decisions: 5, .routine: 3]
    limits.recordAge = 1000
    let journal = notebook.open(limits)
    for number in 0..<10 {
      journal.append(record("failover", at: 1_800_000_000_000 + Int64(number)))
      journal.append(record("member_added", at: 1_800_000_000_000 + Int64(number), chain: .routine))
    }
    journal.close()
    let again = notebook.open(limits)
    #expect(await again.verifyAudit() == .whole(records: 8))
    #expect(await again.records(AuditQuery(kinds: ["failover"])).map(\.at) == [9, 8, 7, 6, 5].map { 1_800_000_000_000 + $0 })
    again.close()
    notebook.pass(5000)
    let late = notebook.open(limits)
    // The newest of each stays, for the next one to be chained to.
    #expect(await late.records(AuditQuery()).map(\.id) == [20, 19])
    late.append(record("failover", at: 1_800_005_000_000))
    late.close()
    #expect(await notebook.open(limits).verifyAudit() == .whole(records: 2))
  }

  @Test func `what a full disk does not take is kept in bounds, decisions before routine, and written later`() async throws {
    var audit = PendingAudit(capacity: 4)
    var given = 0
    for number in 0..<8 {
      if audit.append(record("r\(number)", chain: number % 2 == 0 ? .decisions : .routine)).isTooMany { given += 1 }
    }
    #expect(given == 4)
    #expect(audit.matching(AuditQuery()).map(\.kind) == ["r6", "r4", "r2", "r0"])
    let batch = audit.take()
    #expect(audit.matching(AuditQuery()).count == 4)
    _ = audit.append(record("new"))
    #expect(audit.putBack(batch) == 1)
    #expect(audit.matching(AuditQuery()).map(\.kind) == ["new", "r6", "r4", "r2"])
  }

  @Test func `records made before the file could be opened are numbered after those in it`() async throws {
    var audit = PendingAudit(capacity: 10)
    _ = audit.append(record("a"))
    _ = audit.append(record("b"))
    audit.continueAfter(100)
    _ = audit.append(record("c"))
    #expect(audit.take().map(\.id) == [101, 102, 103])
    audit.continueAfter(103)
    _ = audit.append(record("d"))
    #expect(audit.take().map(\.id) == [104])
  }

  @Test func `facts of all kinds are kept apart, and the backends of an older file are among them`() async throws {
    let journal = notebook.open()
    for kind in FactKind.allCases { journal.store(FactKey(kind, "x"), json: kind.rawValue) }
    journal.close()
    let again = notebook.open()
    for kind in FactKind.allCases { #expect(again.facts(of: kind).map(\.json) == [kind.rawValue]) }
    again.close()
  }

  @Test func `a file of version 1 is brought up to date with what it holds`() throws {
    try FileManager.default.createDirectory(atPath: notebook.path, withIntermediateDirectories: true)
    let old = try connection()
    try old.writeWithoutTransaction { database in
      try database.execute(sql: Schema.migrations[0])
      try database.execute(sql: "PRAGMA application_id = \(Schema.applicationID); PRAGMA user_version = 1")
      try database.execute(sql: "INSERT INTO dns_backends VALUES ('api.example.com', '{\"port\":1}')")
    }
    try old.close()
    let journal = notebook.open()
    #expect(journal.facts(of: .dnsBackend).map(\.json) == ["{\"port\":1}"])
    #expect(notebook.setAside.isEmpty)
    journal.close()
  }
}
