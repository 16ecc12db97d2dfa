import Foundation
import Model
import Testing

@testable import Discovery

/// The corpus in the tree: packets that somebody thought of, and mutations of them that ended in other ways.
///
/// After a change of the parser or of `CorpusPackets`, `LEBA_WRITE_CORPUS=1 swift test --filter CorpusTests` writes the file anew;
/// the difference in git is what the change did.
@Suite(.serialized) struct CorpusTests {
  @Test(.enabled(if: ProcessInfo.processInfo.environment["LEBA_WRITE_CORPUS"] != nil))
  func `the corpus is written`() throws {
    let mutations = try Self.mutations()
    let head = [
      "# DNS packets and what is to come of them. Fields, apart by a tab: name, question, outcome, bytes.",
      "# Written by LEBA_WRITE_CORPUS=1 swift test --filter CorpusTests; scripts/fuzz starts from these.",
    ]
    try (head + (CorpusPackets.all + mutations).map(\.line)).joined(separator: "\n").appending("\n")
      .write(toFile: CorpusEntry.path, atomically: true, encoding: .utf8)
  }

  /// Of many mutations of each packet, those that end in a way no other of that packet did. They depend on that packet alone, so that a
  /// new one beside it leaves the lines of the others as they are.
  private static func mutations() throws -> [CorpusEntry] {
    var kept: [CorpusEntry] = []
    for base in CorpusPackets.all {
      var mutator = PacketMutator(seed: base.name.utf8.reduce(1035) { $0 &* 31 &+ UInt64($1) })
      var outcomes: Set<String> = [base.outcome]
      for _ in 0..<2000 where outcomes.count <= 7 {
        let bytes = mutator.mutated(base.bytes, others: [base.bytes, DNSMessageTests.golden])
        let outcome = try CorpusEntry.read(bytes, base.question)
        guard bytes.count <= 300, outcomes.insert(outcome).inserted else { continue }
        kept.append(CorpusEntry("\(base.name), mutation \(outcomes.count - 1)", base.question, outcome, bytes))
      }
    }
    return kept
  }

  @Test func `every packet has the outcome that stands beside it`() throws {
    for entry in try CorpusEntry.all() { #expect(try entry.read() == entry.outcome, "\(entry.name)") }
  }

  @Test func `the packets somebody thought of are in the file`() throws {
    let entries = Set(try CorpusEntry.all())
    for entry in CorpusPackets.all { #expect(entries.contains(entry), "\(entry.name)") }
  }

  @Test func `every kind of outcome is there`() throws {
    let entries = try CorpusEntry.all()
    #expect(entries.count >= 200)
    for kind in [
      "truncated", "reservedLabelType", "pointerNotBackward", "tooManyPointers", "nameTooLong", "recordLength",
    ] {
      #expect(entries.contains { $0.outcome == "malformed(\(kind))" }, "\(kind)")
    }
    for kind in [
      "mismatch", "truncated", "formatError", "serverFailure", "refused", "notImplemented", "otherCode", "aliasLoop",
      "aliasChainTooLong", "contradiction", "referral", "NXDOMAIN", "NODATA", "1 records", "2 records",
    ] {
      #expect(entries.contains { $0.outcome.hasPrefix(kind) }, "\(kind)")
    }
  }

  /// Any outcome is right as long as there is one, it is the same twice, and it is not larger than the packet can pay for.
  @Test(arguments: 0..<8 as Range<UInt64>)
  func `mutations are read without harm`(seed: UInt64) throws {
    let packets = try CorpusEntry.all().map(\.bytes)
    var mutator = PacketMutator(seed: seed)
    var parsed = 0
    var refused = 0
    for _ in 0..<3000 {
      let base = packets.randomElement(using: &mutator.random) ?? []
      let bytes = mutator.mutated(base, others: packets)
      do {
        let message = try DNSMessage(parsing: bytes)
        parsed += 1
        #expect(try DNSMessage(parsing: bytes) == message)
        #expect(message.size <= 100 * bytes.count, "\(bytes)")
        for question in message.questions {
          _ = question.name.description
          guard let type = RecordType(rawValue: question.type) else { continue }
          let answer = try? DNSAnswer(message, name: question.name, type: type)
          #expect((try? DNSAnswer(message, name: question.name, type: type)) == answer)
        }
      } catch {
        refused += 1
        #expect(throws: error) { try DNSMessage(parsing: bytes) }
      }
    }
    #expect(parsed > 100 && refused > 100, "the mutations hit both sides: \(parsed) parsed, \(refused) refused")
  }

  @Test func `noise is read without harm`() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<5000 {
      let bytes = (0..<Int.random(in: 0...80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try? DNSMessage(parsing: bytes)
    }
  }
}

extension DNSMessage {
  /// Bytes of names and texts, and one for each record: what reading it wrote.
  fileprivate var size: Int {
    questions.reduce(0) { $0 + 1 + $1.name.bytes.count } + (answers + authority + additional).reduce(0) { $0 + $1.size }
  }
}

extension ResourceRecord {
  fileprivate var size: Int {
    let data =
      switch data {
      case .alias(let name), .nameServer(let name): name.bytes.count
      case .service(let service): service.target.bytes.count
      case .text(let strings): strings.reduce(0) { $0 + 1 + $1.utf8.count }
      case .address, .startOfAuthority, .other: 0
      }
    return 1 + owner.bytes.count + data
  }
}
