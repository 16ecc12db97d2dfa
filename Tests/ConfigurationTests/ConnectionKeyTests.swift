import Model
import Testing

@testable import LebaConfiguration

/// The keys of the data plane: how backends are connected to, how long sessions may last, and what moves the bytes.
@Suite struct ConnectionKeyTests {
  enum Place: Sendable {
    case top, group, listener

    /// A file that is right but for one line, and the place of that line's value.
    func file(_ key: String, _ value: String) -> (yaml: String, position: String) {
      let line = "\(key): \(value)\n"
      let column = key.count + ": ".count + 1
      switch self {
      case .top: return (line + twoBackends, "1:\(column)")
      case .group: return (twoBackends + "    " + line, "8:\(column + 4)")
      case .listener:
        let listener = "listeners:\n  - name: l\n    address: 127.0.0.1:1\n    group: app\n"
        return (twoBackends + listener + "    " + line, "12:\(column + 4)")
      }
    }
  }

  // MARK: What is right

  @Test func `without the keys`() throws {
    let (yaml, _) = Place.listener.file("role", "any")
    let configuration = try load(yaml)
    #expect(configuration.engine == .auto)
    #expect(configuration.groups.first?.connections == UpstreamConnections(hedge: .milliseconds(250)))
    #expect(configuration.listeners.first?.limits == ListenerLimits())
  }

  @Test(arguments: [("auto", EngineChoice.auto), ("io_uring", .ioUring), ("epoll", .epoll), ("\"epoll\"", .epoll)])
  func engine(text: String, expected: EngineChoice) throws {
    #expect(try load(Place.top.file("engine", text).yaml).engine == expected)
  }

  @Test(
    arguments: [
      ("maximum_connections", "1", UpstreamConnections(maximum: 1, hedge: .milliseconds(250))),
      ("maximum_connections", "1000000", UpstreamConnections(maximum: 1_000_000, hedge: .milliseconds(250))),
      ("connect_hedge", "0s", UpstreamConnections(hedge: .zero)),
      ("connect_hedge", "1ms", UpstreamConnections(hedge: .milliseconds(1))),
      ("connect_hedge", "10s", UpstreamConnections(hedge: .seconds(10))),
      ("proxy_protocol", "v1", UpstreamConnections(hedge: .milliseconds(250), proxyProtocol: .v1)),
      ("proxy_protocol", "'v2'", UpstreamConnections(hedge: .milliseconds(250), proxyProtocol: .v2)),
    ])
  func group(key: String, text: String, expected: UpstreamConnections) throws {
    #expect(try load(Place.group.file(key, text).yaml).groups.map(\.connections) == [expected])
  }

  @Test(
    arguments: [
      ("idle_timeout", "100ms", ListenerLimits(idleTimeout: .milliseconds(100))),
      ("idle_timeout", "7d", ListenerLimits(idleTimeout: .seconds(604_800))),
      ("maximum_duration", "1s", ListenerLimits(maximumDuration: .seconds(1))),
      ("maximum_duration", "365d", ListenerLimits(maximumDuration: .seconds(31_536_000))),
      ("maximum_connections", "1", ListenerLimits(maximumConnections: 1)),
      ("maximum_connections", "1000000", ListenerLimits(maximumConnections: 1_000_000)),
    ])
  func listener(key: String, text: String, expected: ListenerLimits) throws {
    #expect(try load(Place.listener.file(key, text).yaml).listeners.map(\.limits) == [expected])
  }

  // MARK: What is wrong

  @Test(
    arguments: [
      ("uring", "'uring' is not an engine; use auto, io_uring or epoll"),
      ("EPOLL", "'EPOLL' is not an engine; use auto, io_uring or epoll"),
      ("''", "'' is not an engine; use auto, io_uring or epoll"),
      ("[epoll]", "'engine' is a list; it must be auto, io_uring or epoll"),
      ("{name: epoll}", "'engine' is a mapping; it must be auto, io_uring or epoll"),
      ("~", "'engine' has no value; give it one, or remove the key"),
    ])
  func badEngines(text: String, complaint: String) { expect(complaint, about: "engine", text, at: .top) }

  @Test(
    arguments: [Place.group, .listener],
    [
      ("0", "'0' is out of range; write a whole number from 1 to 1000000"),
      ("1000001", "'1000001' is out of range; write a whole number from 1 to 1000000"),
      ("-1", "'-1' is not a whole number; write a whole number from 1 to 1000000"),
      ("1.5", "'1.5' is not a whole number; write a whole number from 1 to 1000000"),
      ("1e3", "'1e3' is not a whole number; write a whole number from 1 to 1000000"),
      ("none", "'none' is not a whole number; write a whole number from 1 to 1000000"),
      ("''", "'' is not a whole number; write a whole number from 1 to 1000000"),
      ("[1]", "'maximum_connections' is a list; it must be a whole number from 1 to 1000000"),
      ("{a: 1}", "'maximum_connections' is a mapping; it must be a whole number from 1 to 1000000"),
      ("~", "'maximum_connections' has no value; give it one, or remove the key"),
    ])
  func badMaximumConnections(place: Place, example: (text: String, complaint: String)) {
    expect(example.complaint, about: "maximum_connections", example.text, at: place)
  }

  @Test(
    arguments: [
      ("250", "'250' has no unit; write one, for example 5s or 250ms"),
      ("-1s", "'-1s' is negative; write a duration from 0s upward, for example 5s"),
      ("10001ms", "'10001ms' is too long; write 10s or less"),
      ("never", "'never' is not a duration; write whole numbers with units, for example 250ms, 5s or 1m30s"),
      ("[1s]", "'connect_hedge' is a list; it must be a duration, for example 250ms, 5s or 1m30s"),
      ("~", "'connect_hedge' has no value; give it one, or remove the key"),
    ])
  func badConnectHedges(text: String, complaint: String) { expect(complaint, about: "connect_hedge", text, at: .group) }

  @Test(
    arguments: [
      ("v3", "'v3' is not a version; use v1 or v2"), ("2", "'2' is not a version; use v1 or v2"),
      ("true", "'true' is not a version; use v1 or v2"), ("[v1]", "'proxy_protocol' is a list; it must be v1 or v2"),
      ("~", "'proxy_protocol' has no value; give it one, or remove the key"),
    ])
  func badProxyProtocols(text: String, complaint: String) { expect(complaint, about: "proxy_protocol", text, at: .group) }

  @Test(
    arguments: [
      ("idle_timeout", "99ms", "'99ms' is too short; write 100ms or more"),
      ("idle_timeout", "0s", "'0s' is too short; write 100ms or more"),
      ("idle_timeout", "8d", "'8d' is too long; write 7d or less"),
      ("idle_timeout", "60", "'60' has no unit; write one, for example 5s or 250ms"),
      ("idle_timeout", "~", "'idle_timeout' has no value; give it one, or remove the key"),
      ("maximum_duration", "999ms", "'999ms' is too short; write 1s or more"),
      ("maximum_duration", "366d", "'366d' is too long; write 365d or less"),
      ("maximum_duration", "1h30", "'1h30' is not a duration; write whole numbers with units, for example 250ms, 5s or 1m30s"),
      ("maximum_duration", "-1h", "'-1h' is negative; write a duration from 0s upward, for example 5s"),
      ("maximum_duration", "{h: 1}", "'maximum_duration' is a mapping; it must be a duration, for example 250ms, 5s or 1m30s"),
    ])
  func badTimeLimits(key: String, text: String, complaint: String) { expect(complaint, about: key, text, at: .listener) }

  /// A key of the one in the other is a mistake that reads well.
  @Test func `keys of a listener are none of a group, and the other way round`() {
    for key in ["idle_timeout", "maximum_duration"] { expectUnknown(key, "5s", at: .group) }
    expectUnknown("connect_hedge", "5s", at: .listener)
    expectUnknown("proxy_protocol", "v1", at: .listener)
  }

  private func expect(_ complaint: String, about key: String, _ text: String, at place: Place) {
    let (yaml, position) = place.file(key, text)
    #expect(diagnostics(yaml) == ["\(position): error: \(complaint)"])
  }

  private func expectUnknown(_ key: String, _ text: String, at place: Place) {
    let found = diagnostics(place.file(key, text).yaml)
    #expect(found.count == 1 && found[0].contains("error: unknown key '\(key)'; "), "\(found)")
  }
}
