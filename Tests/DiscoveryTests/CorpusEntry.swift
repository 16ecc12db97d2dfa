import Foundation
import Testing

@testable import Discovery

/// A line of `Fuzz/corpus.txt`: a packet, the question it is read as an answer to, and what is to come of it.
struct CorpusEntry: Hashable, Sendable {
  let name: String
  /// `a.example/A`
  let question: String
  let outcome: String
  let bytes: [UInt8]

  static let path = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/Fuzz/corpus.txt"

  /// The lines that are not comments.
  static func all() throws -> [CorpusEntry] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
      try #require(CorpusEntry(line: $0), "not a line of the corpus: \($0)")
    }
  }

  init(_ name: String, _ question: String, _ outcome: String, _ bytes: [UInt8]) {
    self.name = name
    self.question = question
    self.outcome = outcome
    self.bytes = bytes
  }

  private init?(line: Substring) {
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
    guard fields.count == 4, fields[3].utf8.count.isMultiple(of: 2) else { return nil }
    let digits = Array(fields[3].utf8)
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16) else { return nil }
      bytes.append(byte)
    }
    self.init(String(fields[0]), String(fields[1]), String(fields[2]), bytes)
  }

  var line: String {
    let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return "\(name)\t\(question)\t\(outcome)\t\(hex)"
  }

  /// What the parser makes of it now.
  func read() throws -> String { try Self.read(bytes, question) }

  static func read(_ bytes: [UInt8], _ question: String) throws -> String {
    let parts = question.split(separator: "/").map(String.init)
    let types: [String: RecordType] = ["A": .a, "NS": .ns, "CNAME": .cname, "SOA": .soa, "TXT": .txt, "AAAA": .aaaa, "SRV": .srv]
    let name = try #require(WireName(parts[0]))
    do {
      switch try DNSAnswer(parsing: bytes, name: name, type: try #require(types[parts[1]])) {
      case .records(let records, let timeToLive, let additional):
        return "\(records.count) records and \(additional.count) for \(timeToLive) s"
      case .empty(let denial, let timeToLive):
        return "\(denial.rawValue) for \(timeToLive.map { "\($0) s" } ?? "an unknown time")"
      }
    } catch let error as AnswerError {
      return "\(error)".replacing("Discovery.DNSMessageError.", with: "")
    }
  }
}
