import Model
import TestSupport
import Testing

@testable import Journal

/// When facts reach the disk.
@Suite struct CoalescingTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  @Test func `a changed answer reaches the disk while the process runs`() async throws {
    let journal = notebook.open(Journal.Limits())
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the answer is on the disk") { try notebook.afterKill { $0.rememberedAnswers().count == 1 } }
    journal.note("a.example.com", endpoints: [], attributes: nil)
    try await eventually("the new answer is on the disk") {
      try notebook.afterKill { $0.rememberedAnswers()["a.example.com"]?.endpoints == [] }
    }
    journal.forget("a.example.com")
    try await eventually("there is no answer") { try notebook.afterKill { $0.rememberedAnswers().isEmpty } }
    journal.close()
  }

  @Test func `that an answer still holds is written later`() async throws {
    var limits = Journal.Limits.hurried
    limits.refreshInterval = .seconds(3600)
    let journal = notebook.open(limits)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the answer is on the disk") { try notebook.afterKill { $0.rememberedAnswers().count == 1 } }
    notebook.pass(100)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    // Another change takes its transaction, and the refresh is not part of it.
    journal.note("b.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the second answer is on the disk") { try notebook.afterKill { $0.rememberedAnswers().count == 2 } }
    let ages = try notebook.afterKill { $0.rememberedAnswers().mapValues(\.age) }
    #expect(ages == ["a.example.com": .seconds(100), "b.example.com": .zero])
    journal.close()
    #expect(notebook.open().rememberedAnswers()["a.example.com"]?.age == .zero)
  }

  @Test func `after its interval the refresh is on the disk`() async throws {
    let journal = notebook.open(.hurried)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the answer is on the disk") { try notebook.afterKill { $0.rememberedAnswers().count == 1 } }
    notebook.pass(100)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    try await eventually("the refresh is on the disk") {
      try notebook.afterKill { $0.rememberedAnswers()["a.example.com"]?.age == .zero }
    }
    journal.close()
  }

  @Test func `many threads may tell at once`() async throws {
    let journal = notebook.open(.hurried)
    await withTaskGroup { group in
      for task in 0..<4 {
        group.addTask {
          for number in 0..<500 {
            let name = DomainName("\(number % 50).example.com")
            if (number + task) % 7 == 0 { journal.forget(name) }
            journal.note(name, endpoints: [DiscoveredEndpoint(.v4(UInt32(number)))], attributes: nil)
          }
        }
      }
    }
    journal.close()
    #expect(notebook.notices.isEmpty)
    #expect(notebook.open().rememberedAnswers().count == 50)
  }

  @Test func `what there is no room for is told`() throws {
    var limits = Journal.Limits.unhurried
    limits.rows = 2
    let journal = notebook.open(limits)
    for number in 0..<5 { journal.note(DomainName("\(number).example.com"), endpoints: someEndpoints, attributes: nil) }
    journal.close()
    #expect(notebook.notices.map(\.kind) == [.tooMany])
    #expect(notebook.open().rememberedAnswers().count == 2)
  }
}
