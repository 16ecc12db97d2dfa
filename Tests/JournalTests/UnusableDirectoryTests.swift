import Foundation
import Model
import TestSupport
import Testing

@testable import Journal

/// The tests run as root, whom no mode stops: what is in the way here stops root too.
@Suite struct UnusableDirectoryTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  private func expectUnavailable(_ journal: Journal, _ kind: JournalNotice.Kind, _ text: String) {
    #expect(notebook.notices.map(\.kind) == [kind])
    #expect(notebook.notices.first?.text.contains(text) == true, "\(notebook.notices)")
    guard case .unavailable(let reason) = journal.state else {
      Issue.record("\(journal.state)")
      return
    }
    #expect(reason.contains(text))
    #expect(journal.rememberedAnswers().isEmpty)
    #expect(journal.facts(of: .dnsBackend).isEmpty)
  }

  @Test func `a directory below a file`() throws {
    try notebook.directory.write("", to: "state")
    expectUnavailable(notebook.open(at: notebook.path + "/a/b"), .cannotOpen, "Not a directory")
  }

  @Test func `a file in the place of the directory`() throws {
    try notebook.directory.write("", to: "state")
    expectUnavailable(notebook.open(), .cannotOpen, "Not a directory")
  }

  @Test func `a file system that takes no files`() {
    expectUnavailable(notebook.open(at: "/proc/leba"), .cannotOpen, "/proc/leba")
  }

  @Test func `a directory in the place of the database`() throws {
    try FileManager.default.createDirectory(atPath: notebook.database, withIntermediateDirectories: true)
    expectUnavailable(notebook.open(), .cannotOpen, "Is a directory")
  }

  @Test func `a pipe in the place of the database or the lock does not hang`() throws {
    try FileManager.default.createDirectory(atPath: notebook.path, withIntermediateDirectories: true)
    try #require(mkfifo(notebook.database, 0o600) == 0)
    expectUnavailable(notebook.open(), .cannotOpen, "not a regular file")
  }

  @Test func `one journal a directory; the second gets it when the first has gone`() async throws {
    let first = notebook.open()
    #expect(first.isOpen)
    let second = notebook.open(.hurried)
    expectUnavailable(second, .inUse, "another leba (process \(getpid())) keeps its journal in \(notebook.path)")
    second.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    first.close()
    try await eventually("the second has it") { second.isOpen }
    second.close()
    #expect(notebook.notices.map(\.kind) == [.inUse, .recovered])
    #expect(notebook.open().rememberedAnswers().count == 1)
  }

  @Test func `what was learned while the disk was away is written when it is back`() async throws {
    try notebook.directory.write("", to: "state")
    let journal = notebook.open(.hurried)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    let isDurable = await withCheckedContinuation { continuation in
      journal.store(FactKey(.dnsBackend, "api.example.com"), json: "{}") { continuation.resume(returning: $0) }
    }
    #expect(!isDurable)
    #expect(!journal.isOpen)
    try FileManager.default.removeItem(atPath: notebook.path)
    try await eventually("it is open") { journal.isOpen }
    #expect(notebook.notices.map(\.kind) == [.cannotOpen, .recovered])
    #expect(try notebook.afterKill { $0.rememberedAnswers().count + $0.facts(of: .dnsBackend).count } == 2)
    journal.close()
  }

  @Test func `a full disk stops the journal and nothing else`() async throws {
    var limits = Journal.Limits.hurried
    limits.pages = 8
    let journal = notebook.open(limits)
    journal.note("first.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the first is on the disk") { try notebook.afterKill { $0.rememberedAnswers().count == 1 } }
    let many = (0..<500).flatMap { _ in someEndpoints }
    journal.note("big.example.com", endpoints: many, attributes: nil)
    try await eventually("it is unavailable") { !journal.isOpen }
    #expect(notebook.notices.map(\.kind) == [.diskFull])
    journal.note("second.example.com", endpoints: someEndpoints, attributes: nil)
    #expect(try notebook.afterKill { $0.rememberedAnswers().keys.sorted() } == ["first.example.com"])
    // What did not fit is replaced by what does.
    journal.note("big.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("it works again") { journal.isOpen }
    journal.close()
    #expect(notebook.notices.map(\.kind) == [.diskFull, .recovered])
    #expect(notebook.open().rememberedAnswers().count == 3)
  }

  @Test func `a notice of a kind passes once a minute, with the number of those that did not`() {
    var limiter = JournalNoticeLimiter()
    let notice = JournalNotice(.error, .diskFull, "full")
    #expect(limiter.pass(notice, now: 0) == notice)
    #expect(limiter.pass(notice, now: 30) == nil)
    #expect(limiter.pass(JournalNotice(.error, .busy, "busy"), now: 30) != nil)
    #expect(limiter.pass(notice, now: 60)?.text == "full (1 more of these were not logged)")
    #expect(limiter.pass(notice, now: 61) == nil)
    // The clock was put back by a day.
    #expect(limiter.pass(notice, now: -86_000) != nil)
  }
}
