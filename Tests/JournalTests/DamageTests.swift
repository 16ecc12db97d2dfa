import Foundation
import Model
import TestSupport
import Testing

@testable import Journal

@Suite struct DamageTests {
  private let notebook: Notebook

  init() throws { notebook = try Notebook() }

  enum Damage: CaseIterable {
    case rubbish, text, halved, cutWithinAPage, otherApplication, zeroedPage, brokenSchema, otherType, readOnlyByItsHeader,
      otherFormat

    func apply(to bytes: inout [UInt8]) {
      switch self {
      case .rubbish: bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7919) }
      case .text: bytes = Array("SQLite is not this".utf8)
      case .halved: bytes.removeLast(bytes.count / 2)
      // The last page is empty: version 2 drops a table of version 1.
      case .cutWithinAPage: bytes.removeLast(4096 + 100)
      case .otherApplication: bytes[71] ^= 1
      case .zeroedPage: for index in 4096..<8192 { bytes[index] = 0 }
      case .brokenSchema: replace("answered_at", by: "bnswered_at", in: &bytes)
      case .otherType: replace("attributes TEXT", by: "attributes BLOB", in: &bytes)
      case .readOnlyByItsHeader: bytes[18] = 3
      case .otherFormat: bytes[47] = 9
      }
    }
  }

  @Test(arguments: Damage.allCases)
  func `a damaged file is set aside and a new one started`(damage: Damage) throws {
    try notebook.writeSoundFile()
    var bytes = try notebook.bytes()
    damage.apply(to: &bytes)
    try notebook.write(bytes)
    let journal = notebook.open()
    #expect(journal.isOpen, "\(journal.state)")
    #expect(journal.rememberedAnswers().isEmpty)
    #expect(notebook.setAside == ["leba.sqlite.damaged-20270115T080000Z"])
    #expect(notebook.notices.map(\.kind) == [.setAside])
    #expect(notebook.notices.first?.severity == .error)
    let aside = FileManager.default.contents(atPath: notebook.path + "/" + (notebook.setAside.first ?? ""))
    #expect(aside.map { Array($0) } == bytes)
    journal.note("a.example.com", endpoints: someEndpoints, attributes: nil)
    journal.close()
    #expect(notebook.open().rememberedAnswers().count == 1)
  }

  @Test func `a newer file is set aside under another name`() throws {
    try notebook.writeSoundFile()
    var bytes = try notebook.bytes()
    bytes[63] = UInt8(Schema.migrations.count + 1)
    try notebook.write(bytes)
    #expect(notebook.open().isOpen)
    #expect(notebook.setAside == ["leba.sqlite.newer-20270115T080000Z"])
    #expect(notebook.notices.map(\.severity) == [.warning])
  }

  @Test func `what was set aside earlier is not overwritten`() throws {
    for number in 0..<3 {
      try notebook.write(Array("rubbish \(number)".utf8))
      notebook.open().close()
    }
    let name = "leba.sqlite.damaged-20270115T080000Z"
    #expect(notebook.setAside == [name, name + ".1", name + ".2"])
    #expect(notebook.setAside.map { readFile("\(notebook.path)/\($0)") } == ["rubbish 0", "rubbish 1", "rubbish 2"])
  }

  @Test func `a database is set aside with its log`() throws {
    try notebook.write([1])
    try notebook.write([2], suffix: "-wal")
    try notebook.write([3], suffix: ".damaged-19700101T000001Z-wal")
    let target = try JournalDirectory(path: notebook.path).setAside(as: "damaged", now: 1.5)
    #expect(target == notebook.database + ".damaged-19700101T000001Z.1")
    let name = "leba.sqlite.damaged-19700101T000001Z"
    #expect(notebook.files == [name + "-wal", name + ".1", name + ".1-wal"])
  }

  @Test func `an empty file is a new one`() throws {
    try notebook.write([])
    #expect(notebook.open().isOpen)
    #expect(notebook.notices.isEmpty)
  }

  @Test func `a file that is damaged while it is in use is replaced, and gets the backends again`() async throws {
    let journal = notebook.open(.hurried)
    journal.store(FactKey(.dnsBackend, "api.example.com"), json: "{}")
    // More than SQLite keeps in memory, so that it must read what is damaged.
    let many = (0..<10).flatMap { _ in someEndpoints }
    for number in 0..<1500 { journal.note(DomainName("\(number).example.com"), endpoints: many, attributes: nil) }
    try await eventually("all is on the disk") {
      try notebook.afterKill { $0.rememberedAnswers().count == 1500 && $0.facts(of: .dnsBackend).count == 1 }
    }
    // Both the file and its log: the pages are read from either.
    for suffix in ["", "-wal"] {
      let file = try #require(FileHandle(forUpdatingAtPath: notebook.database + suffix))
      let size = try file.seekToEnd()
      try file.seek(toOffset: 0)
      try file.write(contentsOf: Data(repeating: 0xa5, count: Int(size)))
      try file.close()
    }
    try await eventually("the file is set aside") {
      // The name makes each note a change.
      journal.note(DomainName("\(UInt32.random(in: 0 ... .max)).example.com"), endpoints: someEndpoints, attributes: nil)
      return !notebook.setAside.isEmpty && journal.isOpen
    }
    try await eventually("the backend is on the disk again") {
      try notebook.afterKill { $0.facts(of: .dnsBackend).map(\.name) == ["api.example.com"] }
    }
    journal.close()
  }

  @Test func `rows that do not parse are skipped and counted`() throws {
    let journal = notebook.open()
    for number in 0..<5 { journal.note(DomainName("\(number).example.com"), endpoints: someEndpoints, attributes: nil) }
    journal.note("6.example.com", endpoints: someEndpoints, attributes: TextAttributes(mode: .normal))
    journal.close()
    var bytes = try notebook.bytes()
    replace("2001:db8::1", by: "2001:db8::x", in: &bytes)
    replace("[[\"10.0", by: "][\"10.0", in: &bytes)
    replace("5432,10,60]", by: "5432,10,-6]", in: &bytes)
    replace("\"normal\"", by: "\"formal\"", in: &bytes)
    try notebook.write(bytes)
    let answers = notebook.open().rememberedAnswers()
    #expect(answers.count < 6 && answers.count >= 2)
    #expect(answers["6.example.com"] == nil)
    #expect(notebook.notices.map(\.kind) == [.rowsSkipped])
    #expect(notebook.notices.first?.text.hasPrefix("\(6 - answers.count) remembered answers") == true)
    #expect(answers.values.allSatisfy { $0.endpoints == someEndpoints })
  }

  @Test(arguments: 0..<6)
  func `no mutation of the files crashes or keeps the journal shut`(seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    let source = try Notebook()
    let writer = source.open(.hurried)
    for number in 0..<60 {
      writer.note(DomainName("\(number).example.com"), endpoints: someEndpoints, attributes: TextAttributes(zone: "z"))
    }
    writer.store(FactKey(.dnsBackend, "api.example.com"), json: "{}")
    writer.close()
    let sound = try source.bytes()
    // A log that was never merged, as a kill leaves it.
    let again = source.open(.unhurried)
    again.store(FactKey(.dnsBackend, "b.example.com"), json: "{}")
    let log = Array(FileManager.default.contents(atPath: source.database + "-wal") ?? Data())
    again.close()
    for round in 0..<60 {
      var bytes = sound
      mutate(&bytes, using: &generator)
      try? FileManager.default.removeItem(atPath: notebook.path)
      try notebook.write(bytes)
      if round % 3 == 0 {
        var bytes = log
        mutate(&bytes, using: &generator)
        try notebook.write(bytes, suffix: "-wal")
      }
      if round % 7 == 0 { try notebook.write(Array(bytes.prefix(round * 64)), suffix: "-journal") }
      let journal = notebook.open()
      #expect(journal.isOpen, "seed \(seed), round \(round): \(journal.state)")
      _ = journal.rememberedAnswers()
      journal.note("new.example.com", endpoints: someEndpoints, attributes: nil)
      journal.close()
      let next = notebook.open()
      #expect(next.isOpen, "seed \(seed), round \(round): \(next.state)")
      #expect(next.rememberedAnswers()["new.example.com"] != nil, "seed \(seed), round \(round)")
    }
  }

  private func mutate(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
    if bytes.isEmpty { return }
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
    case 1:
      let start = Int.random(in: 0..<bytes.count, using: &generator)
      for index in start..<min(bytes.count, start + 512) { bytes[index] = 0 }
    case 2:
      for _ in 0..<3 {
        bytes[Int.random(in: 0..<min(100, bytes.count), using: &generator)] = .random(in: 0...255, using: &generator)
      }
    default:
      for _ in 0..<Int.random(in: 1...30, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      }
    }
  }
}

private func replace(_ old: String, by new: String, in bytes: inout [UInt8]) {
  guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: old.utf8) }) else { return }
  bytes.replaceSubrange(place..<place + old.utf8.count, with: new.utf8)
}
