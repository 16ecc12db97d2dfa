import Glibc
import Model
import Testing

@testable import LebaConfiguration

/// Secrets come from the file, the environment or a file of their own, and go nowhere else.
@Suite struct SecretTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func yaml(_ postgres: String) -> String {
    twoBackends + "    health_check: {postgres: {user: u, \(postgres)}}\n"
  }

  private func password(_ postgres: String, environment: [String: String] = [:]) throws -> String? {
    guard case .postgres(let check) = try load(yaml(postgres), environment: environment).groups[0].members[0].check.kind else {
      return nil
    }
    return check.password?.revealed
  }

  @Test func fromEverySource() throws {
    #expect(try password("password: p1") == "p1")
    #expect(try password("password: \"x${P}\"", environment: ["P": "p2"]) == "xp2")
    for (text, expected) in [("p3\n", "p3"), ("p3", "p3"), ("p3\r\n", "p3"), ("p3\n\n", "p3\n"), (" p 3 ", " p 3 ")] {
      #expect(try password("password_file: \(folder.write("secret", text))") == expected)
    }
  }

  @Test func filesThatOthersCanReadAreRefused() throws {
    for mode: mode_t in [0o640, 0o604, 0o644, 0o660] {
      let file = try folder.write("secret", "hunter2", mode: mode)
      #expect(
        diagnostics(yaml("password_file: \(file)")) == [
          "8:55: error: the secret file '\(file)' can be read by group or others; run chmod 600 on it"
        ])
    }
    #expect(try password("password_file: \(folder.write("secret", "hunter2", mode: 0o400))") == "hunter2")
  }

  @Test func filesThatAreNotThereOrEmpty() throws {
    let missing = folder.path + "/none"
    #expect(
      diagnostics(yaml("password_file: \(missing)")) == [
        "8:55: error: there is no secret file '\(missing)'; create it, or correct the path"
      ])
    let empty = try folder.write("empty", "\n")
    #expect(
      diagnostics(yaml("password_file: \(empty)")) == ["8:55: error: the secret file '\(empty)' is empty; write the secret into it"]
    )
    let binary = try folder.write("binary", [0xFF, 0xFE])
    #expect(
      diagnostics(yaml("password_file: \(binary)")) == [
        "8:55: error: the secret file '\(binary)' is not UTF-8; write the secret as text"
      ])
    let zero = try folder.write("zero", [0x61, 0])
    #expect(
      diagnostics(yaml("password_file: \(zero)")) == ["8:55: error: the secret contains a zero byte; write it without one"])
    let large = try folder.write("large", [UInt8](repeating: 0x61, count: 65537))
    #expect(
      diagnostics(yaml("password_file: \(large)")) == [
        "8:55: error: the secret file '\(large)' is larger than 64 KiB; make it smaller"
      ])
    let long = try folder.write("long", [UInt8](repeating: 0x61, count: 4097))
    #expect(
      diagnostics(yaml("password_file: \(long)")) == ["8:55: error: the secret is longer than 4096 bytes; use a shorter one"])
  }

  @Test func bothForms() throws {
    let file = try folder.write("secret", "hunter2")
    #expect(
      diagnostics(yaml("password: hunter2, password_file: \(file)")) == [
        "8:74: error: both 'password' and 'password_file' are given; keep one of them"
      ])
  }

  @Test func theAPIsSecretsHaveFilesToo() throws {
    let file = try folder.write("secret", "short")
    #expect(
      diagnostics("api_security: {auth_enabled: false, jwt_previous_secret_file: \(file)}") == [
        "1:63: error: 'jwt_previous_secret' is shorter than 32 bytes; use a longer one, for example from openssl rand -hex 32"
      ])
  }

  @Test func theyAreNeverPrinted() throws {
    let secrets = ["hunter2-literal", "hunter2-environment", "hunter2-file"]
    let file = try folder.write("secret", secrets[2])
    for source in ["password: \(secrets[0])", "password: \"${P}\"", "password_file: \(file)"] {
      let configuration = try load(yaml(source), environment: ["P": secrets[1]])
      var dumped = ""
      dump(configuration, to: &dumped)
      for text in [
        dumped, String(describing: configuration), String(reflecting: configuration), "\(configuration.groups)",
        configuration.detectionReport().joined(separator: "\n"),
      ] {
        #expect(!text.contains("hunter2"))
      }
    }
    // Nor where the file is wrong.
    for source in [
      "password: [hunter2]", "password: {a: hunter2}", "password: \"hunter2\\0\"", "password: hunter2, tls: off",
      "password: \"${P}${\"", "paswort: hunter2", "password: \(String(repeating: "hunter2", count: 1000))",
    ] {
      let found = diagnostics(yaml(source), environment: ["P": "hunter2"])
      #expect(!found.isEmpty)
      #expect(!found.joined().contains("hunter2"), "\(source)")
    }
  }
}
