import Foundation

/// A folder that goes when its last user does. Short, so that a unix socket's path fits into 108 bytes.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() throws {
    var template = Array("/tmp/leba-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("mkdtemp: \(errnoText())") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Servers that give up root must be able to walk through it.
    chmod(path, 0o711)
  }

  /// A server that has just been killed may still write its last file while the folder goes: the second look takes that too.
  deinit {
    for _ in 0..<50 where (try? FileManager.default.removeItem(atPath: path)) == nil {
      guard FileManager.default.fileExists(atPath: path) else { return }
      usleep(20_000)
    }
  }

  package func file(_ name: String) -> String { "\(path)/\(name)" }

  @discardableResult
  package func write(_ text: String, to name: String) throws -> String {
    let file = file(name)
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    return file
  }
}

package func readFile(_ path: String) -> String {
  FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
}

func errnoText(_ code: CInt = errno) -> String { String(cString: strerror(code)) }
