import Glibc
import Model
import Testing

@testable import LebaConfiguration

/// What stands between a path and its text, for configurations and for secrets.
@Suite struct FileTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func problem(_ path: String) -> String? {
    do {
      _ = try Configuration.load(file: path, environment: [:])
      return nil
    } catch {
      return error.description
    }
  }

  @Test func aGoodFileLoads() throws {
    let file = try folder.write("good.yaml", twoBackends)
    let configuration = try Configuration.load(file: file, environment: [:])
    #expect(configuration.groups.map(\.name) == ["app"])
    #expect(configuration.topology.backend("a")?.address.description == "10.0.0.1:80")
  }

  @Test func aMissingFile() {
    let path = folder.path + "/none.yaml"
    #expect(problem(path) == "\(path):1:1: error: there is no file '\(path)'; create it, or correct the path")
  }

  @Test func aDirectory() {
    #expect(problem(folder.path) == "\(folder.path):1:1: error: '\(folder.path)' is a directory; give the path of a file")
  }

  @Test func aDeviceOrPipeDoesNotHang() throws {
    #expect(problem("/dev/zero") == "/dev/zero:1:1: error: '/dev/zero' is not a regular file; give the path of a regular file")
    let pipe = folder.path + "/pipe"
    try #require(mkfifo(pipe, 0o600) == 0)
    #expect(problem(pipe) == "\(pipe):1:1: error: '\(pipe)' is not a regular file; give the path of a regular file")
  }

  @Test func aPathThroughAFile() throws {
    let file = try folder.write("good.yaml", twoBackends)
    #expect(
      problem(file + "/x")
        == "\(file)/x:1:1: error: cannot open the file '\(file)/x': Not a directory; correct the path, or the file")
  }

  @Test func anUnreadableFile() throws {
    let file = try folder.write("secret.yaml", "zone: a", mode: 0o000)
    // Root may read everything.
    let expected =
      geteuid() == 0 ? nil : "\(file):1:1: error: no permission to read the file '\(file)'; let the user that runs leba read it"
    #expect(problem(file) == expected)
  }

  @Test func aNameWithAZero() {
    #expect(problem("a\0b") == "a\0b:1:1: error: the file 'a\\0b' cannot exist; give the path of a file")
  }

  @Test func aLargeFile() throws {
    let file = try folder.write("large.yaml", [UInt8](repeating: UInt8(ascii: "#"), count: Document.maximumSize + 1))
    #expect(problem(file) == "\(file):1:1: error: the file '\(file)' is larger than 4096 KiB; make it smaller")
  }

  private static let malformed: [([UInt8], String)] = [
    ([0xFF], "1:1"),
    (Array("zone: a\nengine: ä".utf8) + [0xC3], "2:10"),
    (Array("a\n\n".utf8) + [0xC0, 0x80], "3:1"),
    (Array("\u{FFFD}x".utf8) + [0x80], "1:3"),
    ([0x61, 0xED, 0xA0, 0x80], "1:2"),
  ]

  @Test(arguments: malformed)
  func notUTF8(bytes: [UInt8], place: String) throws {
    let file = try folder.write("binary.yaml", bytes)
    #expect(problem(file) == "\(file):\(place): error: a byte that is not UTF-8; save the file as UTF-8")
  }

  @Test func aByteOrderMarkAndWindowsLineEndsAreFine() throws {
    let file = try folder.write("windows.yaml", "\u{FEFF}zone: a\r\nworkers: 0\r\n")
    #expect(problem(file)?.contains(":2:10: error: '0' is out of range") == true)
  }
}
