import Model
import Testing

@testable import LebaConfiguration

/// One value at a time: what is right, and what a wrong one is told.
@Suite struct ValueTests {
  @Test(
    arguments: [
      ("250ms", Duration.milliseconds(250)), ("5s", .seconds(5)), ("1m30s", .seconds(90)), ("2h", .seconds(7200)),
      ("1d", .seconds(86_400)), ("0s", .zero), ("1d2h3m4s5ms", .milliseconds(93_784_005)), ("90s", .seconds(90)),
    ])
  func durations(text: String, expected: Duration) throws {
    #expect(try duration(from: Text(text, environment: [:])) == expected)
  }

  @Test(arguments: ["", "s", "5", "5 s", "5S", "1.5s", "1s1m", "5s5s", "-1s", "+1s", "1e3s", "5sec", "٥s", "9999999999999s", "5s "])
  func noDurations(text: String) {
    #expect(throws: Complaint.self) { try duration(from: Text(text, environment: [:])) }
  }

  @Test(
    arguments: [
      ("10", #"1:25: error: '10' has no unit; write one, for example 5s or 250ms"#),
      ("-5s", #"1:25: error: '-5s' is negative; write a duration from 0s upward, for example 5s"#),
      ("soon", #"1:25: error: 'soon' is not a duration; write whole numbers with units, for example 250ms, 5s or 1m30s"#),
      ("5ms", #"1:25: error: '5ms' is too short; write 10ms or more"#),
      ("2m", #"1:25: error: '2m' is too long; write 1m or less"#),
      ("[5s]", #"1:25: error: 'timeout' is a list; it must be a duration, for example 250ms, 5s or 1m30s"#),
      ("{a: 5s}", #"1:25: error: 'timeout' is a mapping; it must be a duration, for example 250ms, 5s or 1m30s"#),
      ("~", #"1:25: error: 'timeout' has no value; give it one, or remove the key"#),
      ("''", #"1:25: error: '' is not a duration; write whole numbers with units, for example 250ms, 5s or 1m30s"#),
    ])
  func badDurations(text: String, expected: String) {
    #expect(diagnostics("dns_resolver: {timeout: \(text)}").filter { !$0.contains("warning") } == [expected])
  }

  @Test(
    arguments: [
      Case("zero", "workers: 0", "1:10: error: '0' is out of range; write a whole number from 1 to 128"),
      Case("many", "workers: 129", "1:10: error: '129' is out of range; write a whole number from 1 to 128"),
      Case("fraction", "workers: 1.5", "1:10: error: '1.5' is not a whole number; write a whole number from 1 to 128"),
      Case("sign", "workers: +1", "1:10: error: '+1' is not a whole number; write a whole number from 1 to 128"),
      Case("octal", "workers: 010", "1:10: error: '010' is not a whole number; write a whole number from 1 to 128"),
      Case(
        "overflow", "workers: 99999999999999999999",
        "1:10: error: '99999999999999999999' is not a whole number; write a whole number from 1 to 128"),
      Case("word", "workers: two", "1:10: error: 'two' is not a whole number; write a whole number from 1 to 128"),
      Case("list", "workers: [1]", "1:10: error: 'workers' is a list; it must be a whole number from 1 to 128"),
      Case("port 0", "api_port: 0", "1:11: error: '0' is not a port; write a whole number from 1 to 65535"),
      Case("port 65536", "api_port: 65536", "1:11: error: '65536' is not a port; write a whole number from 1 to 65535"),
      Case("empty text", "zone: ''", "1:7: error: '' is empty; write some text, or remove the key"),
      Case("no value", "zone:", "1:6: error: 'zone' has no value; give it one, or remove the key"),
      Case("control character", #"zone: "a\nb""#, #"1:7: error: 'a\nb' contains a control character; remove it"#),
      Case("engine", "engine: kqueue", "1:9: error: 'kqueue' is not an engine; use auto, io_uring or epoll"),
      Case("root is a list", "- a", "1:1: error: the file is a list; it must be a mapping of keys to values"),
      Case("root is text", "hello", "1:1: error: the file is a single value; it must be a mapping of keys to values"),
      Case("section is a list", "api: []", "1:6: error: 'api' is a list; it must be a mapping of keys to values"),
      Case("list is a mapping", "backends: {}", "1:11: error: 'backends' is a mapping; it must be a list"),
      Case("list is null", "backends:", "1:10: error: 'backends' has no value; give it one, or remove the key"),
      Case("complex key", "? [a]\n: b", "1:3: error: a key that is a list or a mapping; write a plain name before the colon"),
      Case("unknown key", "zome: a", "1:1: error: unknown key 'zome'; the nearest known key is 'zone'"),
      Case(
        "unknown key far from all", "xylophone: a", "1:1: error: unknown key 'xylophone'; the nearest known key is 'zone'"),
      Case(
        "unknown key inside", "dns_resolver:\n  minimum_tll: 1s",
        "2:3: error: unknown key 'minimum_tll'; the nearest known key is 'minimum_ttl'"),
    ])
  func wrongValues(_ example: Case) {
    #expect(diagnostics(example.yaml).filter { $0.contains("error") } == example.expected)
  }

  @Test func quotedNumbersAndTextsAreRead() throws {
    let configuration = try load("workers: \"2\"\napi_port: '9090'\nzone: 12\nengine: 'epoll'")
    #expect(configuration.workers == 2)
    #expect(configuration.apiAddress.description == "127.0.0.1:9090")
    #expect(configuration.zone == "12")
    #expect(configuration.engine == .epoll)
  }

  @Test func keysMergeAndAliasesAreFollowed() throws {
    let configuration = try load(
      twoBackends + """
            health_check: &slow {type: tcp, interval: 7s, timeout: 1s}
          - {name: other, mode: normal, backends: [a], health_check: {<<: *slow, timeout: 2s}}
        """)
    #expect(configuration.groups.map(\.members[0].check.interval) == [.seconds(7), .seconds(7)])
    #expect(configuration.groups.map(\.members[0].check.timeout) == [.seconds(1), .seconds(2)])
  }

  @Test func whatIsShownOfAValueIsShortAndHarmless() {
    #expect(quoted("a\u{1B}[31mb") == #"'a\u{1B}[31mb'"#)
    #expect(quoted("\u{202E}x") == #"'\u{202E}x'"#)
    #expect(quoted(String(repeating: "x", count: 61)) == "'\(String(repeating: "x", count: 60))…'")
    #expect(quoted("größe") == "'größe'")
  }

  @Test func nearestNames() {
    #expect(nearestName(to: "primry", among: ["name", "primary", "mode"]) == "primary")
    #expect(nearestName(to: "MODE", among: ["name", "mode"]) == "mode")
    #expect(nearestName(to: "x", among: [String]()) == nil)
    #expect(edits(Array("ab".utf8), Array("ba".utf8)) == 1)
    #expect(edits(Array("".utf8), Array("abc".utf8)) == 3)
    #expect(edits(Array("kitten".utf8), Array("sitting".utf8)) == 3)
  }
}
