import Glibc
import Model
import Testing

@testable import LebaConfiguration

/// What a text gets, as `leba check` prints it without the name of the file: empty when all is well.
func diagnostics(_ yaml: String, environment: [String: String] = [:]) -> [String] {
  do {
    return try Configuration.parse(yaml, file: "t.yaml", environment: environment).warnings.map(short)
  } catch {
    return error.diagnostics.map(short)
  }
}

func load(_ yaml: String, environment: [String: String] = [:]) throws(ConfigurationError) -> Configuration {
  try Configuration.parse(yaml, file: "t.yaml", environment: environment)
}

private func short(_ diagnostic: Diagnostic) -> String { String(diagnostic.description.dropFirst("t.yaml:".count)) }

/// A text and everything it gets.
struct Case: CustomTestStringConvertible, Sendable {
  let rule: String
  let yaml: String
  let expected: [String]

  init(_ rule: String, _ yaml: String, _ expected: String...) {
    self.rule = rule
    self.yaml = yaml
    self.expected = expected
  }

  var testDescription: String { rule }
}

/// A folder for the files of one test.
final class Folder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/leba-configuration-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    guard let folder = opendir(path) else { return }
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      unlink("\(path)/\(name)")
    }
    closedir(folder)
    rmdir(path)
  }

  @discardableResult
  func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    try #require(bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) } == bytes.count)
    try #require(chmod(file, mode) == 0)
    return file
  }

  @discardableResult
  func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
    try write(name, Array(text.utf8), mode: mode)
  }
}

/// Where the members of a group come from, the primaries with a star.
func origins(_ group: GroupSpecification) -> [String] {
  group.members.map { member in
    let origin =
      switch member.origin {
      case .fixed(let id, let address): "\(id)=\(address)"
      case .domain(let domain, let port): port.map { "\(domain):\($0)" } ?? domain.rawValue
      }
    return member.isPrimary ? origin + "*" : origin
  }
}

/// Two backends and a group of them; the tests add to it.
let twoBackends = """
  backends:
    - {id: a, address: 10.0.0.1, port: 80}
    - {id: b, address: 10.0.0.2, port: 80}
  failover_groups:
    - name: app
      mode: normal
      backends: [a, b]

  """
