import Foundation
import Model
import Synchronization
import TestSupport
import Testing

@testable import Journal

/// A state directory with a clock of its own, and all that the journals in it said.
final class Notebook: Sendable {
  let directory: TemporaryDirectory
  let path: String
  private let time = Box(1_800_000_000.0)
  private let heard = Box<[JournalNotice]>([])

  private final class Box<Value: Sendable>: Sendable {
    let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
  }

  init(below subdirectory: String = "state") throws {
    directory = try TemporaryDirectory()
    path = directory.file(subdirectory)
  }

  /// By default nothing is written before the journal closes, but at once where that is asked for.
  func open(_ limits: Journal.Limits = .unhurried, at path: String? = nil, suspended: Bool = false) -> Journal {
    Journal(
      directory: path ?? self.path, limits: limits, suspended: suspended, now: { [time] in time.value.withLock { $0 } },
      onNotice: { [heard] notice in heard.value.withLock { $0.append(notice) } })
  }

  var notices: [JournalNotice] { heard.value.withLock { $0 } }
  func pass(_ seconds: Double) { time.value.withLock { $0 += seconds } }

  var files: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
  var setAside: [String] { files.filter { $0.contains(".damaged-") || $0.contains(".newer-") } }
  var database: String { path + "/leba.sqlite" }

  /// What would be there, had the process been killed this moment: the files as they lie, and nothing of the memory.
  func afterKill<T>(_ look: (Journal) throws -> T) throws -> T {
    let copy = try copyOfFiles()
    let journal = open(at: copy.path)
    defer { journal.close() }
    return try look(journal)
  }

  private func copyOfFiles(tries: Int = 100) throws -> TemporaryDirectory {
    let copy = try TemporaryDirectory()
    do {
      for name in files where !name.hasSuffix(".lock") && !name.hasSuffix("-shm") {
        try FileManager.default.copyItem(atPath: "\(path)/\(name)", toPath: copy.file(name))
      }
      return copy
    } catch CocoaError.fileReadNoSuchFile where tries > 1 {
      // The journal closed its database meanwhile, and with it went the log beside it: what is there now is another state.
      return try copyOfFiles(tries: tries - 1)
    }
  }

  func bytes() throws -> [UInt8] { Array(try #require(FileManager.default.contents(atPath: database))) }

  func write(_ bytes: [UInt8], suffix: String = "") throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: database + suffix))
  }

  /// A closed, sound file with an answer for `db.example.com` and a backend `api.example.com`.
  func writeSoundFile() throws {
    let journal = open()
    journal.note("db.example.com", endpoints: someEndpoints, attributes: nil)
    journal.store(FactKey(.dnsBackend, "api.example.com"), json: "{}")
    journal.close()
    try #require(FileManager.default.fileExists(atPath: database))
  }
}

extension Journal.Limits {
  static var unhurried: Self {
    Self(
      writeDelay: .seconds(3600), refreshInterval: .seconds(3600), retryInterval: .seconds(3600),
      longestRetryInterval: .seconds(3600))
  }

  static var hurried: Self {
    Self(
      writeDelay: .milliseconds(1), refreshInterval: .milliseconds(1), retryInterval: .milliseconds(5),
      longestRetryInterval: .milliseconds(5))
  }
}

extension Journal {
  var isOpen: Bool { if case .open = state { true } else { false } }
}

/// Sorted, as discovery has them.
let someEndpoints = [
  DiscoveredEndpoint(.v4(0x0a00_0001), port: 5432, tier: 10, weight: 60),
  DiscoveredEndpoint(.v6(0x2001_0db8_0000_0000_0000_0000_0000_0001), port: 65535, tier: 65535, weight: 0),
]
