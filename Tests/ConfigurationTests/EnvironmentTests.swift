import Model
import Testing

@testable import LebaConfiguration

/// `${NAME}`.
@Suite struct EnvironmentTests {
  @Test(
    arguments: [
      ("${A}", "1"), ("x${A}y${B}z", "x1y2z"), ("$${A}", "${A}"), ("$$", "$$"), ("$A", "$A"), ("a$", "a$"), ("$${", "${"),
      ("${EMPTY}|", "|"), ("$$${A}", "$${A}"), ("${A}${A}", "11"), ("${NESTED}", "${A}"),
    ])
  func replacement(source: String, expected: String) throws {
    let environment = ["A": "1", "B": "2", "EMPTY": "", "NESTED": "${A}"]
    #expect(try Text(source, environment: environment).value == expected)
  }

  @Test(arguments: ["${", "${}", "${A", "${1A}", "${A-b}", "${A B}", "${ä}", "x${"])
  func malformed(source: String) {
    let complaint = #expect(throws: Complaint.self) { try Text(source, environment: ["A": "1", "1A": "1", "A-b": "1", "": "1"]) }
    #expect(complaint?.problem == "\(quoted(source)) has a '${' that does not begin the name of a variable")
  }

  @Test func unsetNamesAreErrorsWhereTheyStand() {
    #expect(
      diagnostics("zone: x${ZONE}\nworkers: ${WORKERS}\nstate_directory: ${1}\n") == [
        "1:7: error: the environment variable 'ZONE' is not set; set it, or write $${ZONE} if the text itself is meant",
        "2:10: error: the environment variable 'WORKERS' is not set; set it, or write $${WORKERS} if the text itself is meant",
        "3:18: error: '${1}' has a '${' that does not begin the name of a variable; "
          + "write ${NAME} with letters, digits and '_', or $${ for the two characters themselves",
      ])
  }

  @Test func aValueCannotBringStructure() throws {
    let configuration = try load("zone: ${ZONE}\n", environment: ["ZONE": "a, engine: epoll} # ]"])
    #expect(configuration.zone == "a, engine: epoll} # ]")
    #expect(configuration.engine == .auto)
  }

  @Test func valuesFromTheEnvironmentAreCheckedAndNeverShown() {
    #expect(
      diagnostics("workers: ${WORKERS}\napi: {address: \"${A}\"}", environment: ["WORKERS": "hunter2", "A": "hunter3"]) == [
        "1:10: error: '${WORKERS}' is not a whole number; write a whole number from 1 to 128",
        "2:16: error: '${A}' is not an address to listen on; write 127.0.0.1:8080, [::1]:PORT or unix:/PATH",
      ])
  }

  @Test func aValueCannotGrowWithoutBound() {
    let shown = String(repeating: "${A}", count: 15)
    #expect(
      diagnostics("zone: \(String(repeating: "${A}", count: 66))", environment: ["A": String(repeating: "x", count: 1000)]) == [
        "1:7: error: '\(shown)…' becomes longer than 64 KiB; use shorter variables, or fewer"
      ])
  }

  @Test func keysAreNotReplaced() {
    #expect(
      diagnostics("${ZONE}: a", environment: ["ZONE": "zone"]).first
        == "1:1: error: unknown key '${ZONE}'; the nearest known key is 'zone'")
  }
}
