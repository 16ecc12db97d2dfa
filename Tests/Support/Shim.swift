import Foundation

/// A piece of C that a test has in another process: compiled from `Tests/Shims` into a folder that goes with it.
package final class Shim: Sendable {
  package enum Kind: Sendable { case program, library }

  package let path: String
  private let directory: TemporaryDirectory

  package init(_ name: String, _ kind: Kind) async throws {
    directory = try TemporaryDirectory()
    path = directory.file(name)
    let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Shims/\(name).c")
    let form = kind == .library ? ["-shared", "-fPIC"] : []
    try await mustRun("cc", ["-O1", "-Wall", "-Wextra", "-Werror"] + form + ["-o", path, source.path, "-ldl"])
  }
}
