import Foundation
import Model
import TestSupport
import Testing

@testable import Journal

@Suite struct RoundTripTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  @Test func `what one run learned, the next one knows`() throws {
    let attributes = TextAttributes(
      isPrimary: true, group: "pg", weight: 65535, zone: "west \"é\"", mode: .activePassive, maintenance: false)
    let plain = [DiscoveredEndpoint(.v4(0x7f00_0001)), DiscoveredEndpoint(.v6(1))]
    let first = notebook.open()
    first.note("srv.example.com", endpoints: someEndpoints, attributes: attributes)
    first.note("plain.example.com", endpoints: plain, attributes: TextAttributes())
    first.note("drained.example.com", endpoints: [], attributes: nil)
    first.close()

    let second = notebook.open()
    #expect(second.state == .open(path: notebook.database))
    #expect(
      second.rememberedAnswers() == [
        "srv.example.com": RememberedAnswer(endpoints: someEndpoints, attributes: attributes, age: .zero),
        "plain.example.com": RememberedAnswer(endpoints: plain, attributes: TextAttributes(), age: .zero),
        "drained.example.com": RememberedAnswer(endpoints: [], age: .zero),
      ])
    #expect(notebook.notices.isEmpty)
  }

  @Test func `the age counts from the last time a name server vouched for the answer`() throws {
    let first = notebook.open()
    first.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    first.note("b.example.com", endpoints: someEndpoints, attributes: nil)
    notebook.pass(100)
    first.note("b.example.com", endpoints: someEndpoints, attributes: nil)
    first.close()
    notebook.pass(50)
    let ages = notebook.open().rememberedAnswers().mapValues(\.age)
    #expect(ages == ["a.example.com": .seconds(150), "b.example.com": .seconds(50)])
  }

  @Test func `an answer from the future has no age`() throws {
    try notebook.writeSoundFile()
    notebook.pass(-1_000_000)
    #expect(notebook.open().rememberedAnswers()["db.example.com"]?.age == .zero)
  }

  @Test func `an authoritative empty leaves no answer`() throws {
    try notebook.writeSoundFile()
    let journal = notebook.open()
    journal.forget("db.example.com")
    journal.note("back.example.com", endpoints: someEndpoints, attributes: nil)
    journal.forget("back.example.com")
    journal.note("back.example.com", endpoints: someEndpoints, attributes: nil)
    journal.close()
    #expect(Set(notebook.open().rememberedAnswers().keys) == ["back.example.com"])
  }

  @Test func `backends made through the API stay until they are removed`() throws {
    let first = notebook.open()
    first.store(FactKey(.dnsBackend, "a.example.com"), json: "1")
    first.store(FactKey(.dnsBackend, "b.example.com"), json: "2")
    first.store(FactKey(.dnsBackend, "a.example.com"), json: "3")
    first.remove(FactKey(.dnsBackend, "b.example.com"))
    #expect(first.facts(of: .dnsBackend).map(\.json) == ["3"])
    first.close()
    let second = notebook.open()
    #expect(second.facts(of: .dnsBackend).map(\.name) == ["a.example.com"])
    second.remove(FactKey(.dnsBackend, "a.example.com"))
    second.close()
    #expect(notebook.open().facts(of: .dnsBackend).isEmpty)
  }

  @Test func `a backend is on the disk when its caller is told so`() async throws {
    let journal = notebook.open()
    let isDurable = await withCheckedContinuation { continuation in
      journal.store(FactKey(.dnsBackend, "a.example.com"), json: "{\"port\":1}") { continuation.resume(returning: $0) }
    }
    #expect(isDurable)
    #expect(try notebook.afterKill { $0.facts(of: .dnsBackend).map(\.json) } == ["{\"port\":1}"])
    journal.close()
  }

  @Test func `answers that nobody vouched for in a month are gone, and of too many the oldest`() throws {
    try notebook.writeSoundFile()
    notebook.pass(29 * 86_400)
    let journal = notebook.open()
    #expect(journal.rememberedAnswers().count == 1)
    for number in 0..<10 {
      notebook.pass(1)
      journal.note(DomainName("\(number).example.com"), endpoints: someEndpoints, attributes: nil)
    }
    journal.close()
    notebook.pass(2 * 86_400)
    let again = notebook.open()
    #expect(again.rememberedAnswers().count == 10)
    again.close()
    var limits = Journal.Limits.unhurried
    limits.rows = 4
    let names = notebook.open(limits).rememberedAnswers().keys.sorted()
    #expect(names == ["6.example.com", "7.example.com", "8.example.com", "9.example.com"])
  }

  @Test func `nobody else may read the files`() throws {
    let journal = notebook.open(.hurried)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    for name in notebook.files + ["."] {
      let mode = try FileManager.default.attributesOfItem(atPath: "\(notebook.path)/\(name)")[.posixPermissions] as? Int
      #expect(mode == (name == "." ? 0o700 : 0o600), "\(name)")
    }
    #expect(notebook.files.contains("leba.sqlite-wal"))
    journal.close()
  }

  @Test func `closing twice and telling a closed journal are harmless`() async throws {
    let journal = notebook.open(.hurried)
    journal.close()
    journal.close()
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    let isDurable = await withCheckedContinuation { continuation in
      journal.store(FactKey(.dnsBackend, "a.example.com"), json: "{}") { continuation.resume(returning: $0) }
    }
    #expect(!isDurable)
    #expect(journal.state == .unavailable(reason: "it was closed"))
    #expect(journal.rememberedAnswers().isEmpty)
  }

  @Test func `a journal that is dropped has written everything`() throws {
    do {
      let journal = notebook.open()
      journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    }
    #expect(notebook.open().rememberedAnswers().count == 1)
  }
}
