import Foundation
import Model
import TestSupport
import Testing

@testable import Journal

/// Two processes in turn on one file: one lets go of it, the other takes it.
@Suite struct SuspensionTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  private func fact(_ name: String) -> FactKey { FactKey(.backend, name) }

  @Test func `what was told before is written, and another journal can have the file`() throws {
    let first = notebook.open()
    first.store(fact("a"), json: "1")
    first.suspend()
    #expect(first.state == .unavailable(reason: "another process has it"))
    let second = notebook.open(suspended: true)
    #expect(second.facts(of: .backend).isEmpty)
    second.resume()
    #expect(second.state == .open(path: notebook.database))
    #expect(second.facts(of: .backend).map(\.name) == ["a"])
    // What the first one learns now is its own affair, also when it ends.
    first.store(fact("late"), json: "2")
    first.close()
    second.store(fact("b"), json: "3")
    second.close()
    #expect(notebook.open().facts(of: .backend).map(\.name) == ["a", "b"])
    #expect(notebook.notices.isEmpty)
  }

  @Test func `resumed, a journal writes what it was told meanwhile`() throws {
    let journal = notebook.open()
    journal.suspend()
    journal.store(fact("a"), json: "1")
    #expect(journal.append(record).id == 1)
    journal.resume()
    try notebook.afterKill { copy in
      #expect(copy.facts(of: .backend).map(\.name) == ["a"])
      #expect(copy.lastRecord == 1)
    }
    // Nothing to resume: nothing happens.
    journal.resume()
    journal.close()
    journal.suspend()
    journal.resume()
    #expect(journal.state == .unavailable(reason: "it was closed"))
    #expect(notebook.notices.isEmpty)
  }

  @Test func `a suspended journal never opens the file by itself`() async throws {
    var limits = Journal.Limits()
    limits.writeDelay = .milliseconds(1)
    limits.retryInterval = .milliseconds(1)
    let journal = notebook.open(limits, suspended: true)
    let answer = await withCheckedContinuation { continuation in
      journal.store(fact("a"), json: "1") { continuation.resume(returning: $0) }
    }
    #expect(!answer)
    #expect(notebook.files.isEmpty)
    journal.close()
    #expect(notebook.files.isEmpty)
  }

  private var record: AuditRecord {
    AuditRecord(
      chain: .decisions, at: 1, group: "g", kind: "failover", from: nil, to: "b", label: "l", reason: "r", evidence: [])
  }
}
