import Foundation

/// The product under test: the real binary, run on a configuration that the test writes.
package final class LebaProcess: Sendable {
  package let api: Endpoint
  package let directory: TemporaryDirectory
  /// Where its journal is.
  package let state: String
  /// As `start` was given it.
  package let configuration: String
  /// Keeps the folder of the state, which is the first one's.
  private let predecessor: LebaProcess?
  private let process: ChildProcess

  /// Starts `leba run` and waits until it says that it is ready: listeners open and every group with a first verdict.
  ///
  /// - Parameters:
  ///   - configuration: everything but `api` and `state_directory`, which are added in front.
  ///   - state: the directory of an earlier process whose state this one takes over; it must have ended.
  ///   - launcher: a program that becomes the sidecar in the end, and its arguments: `unshare`, say.
  package static func start(
    _ configuration: String, environment: [String: String] = [:], state: String? = nil, launcher: [String] = [],
    untilReady: Bool = true
  ) async throws -> LebaProcess {
    try await LebaProcess(configuration, environment: environment, state: state, launcher: launcher).started(untilReady)
  }

  /// Ends it by SIGKILL, frozen or not, and starts another one on the same configuration and state.
  package func restarted(untilReady: Bool = true) async throws -> LebaProcess {
    process.signal(SIGKILL)
    try await ended()
    return try await LebaProcess(configuration, state: state, predecessor: self).started(untilReady)
  }

  private func started(_ untilReady: Bool) async throws -> LebaProcess {
    try await eventually("leba is \(untilReady ? "ready" : "live")") {
      try process.mustBeRunning()
      return try await get(untilReady ? "/health/ready" : "/health/live").status == 200
    }
    return self
  }

  private init(
    _ configuration: String, environment: [String: String] = [:], state: String?, launcher: [String] = [],
    predecessor: LebaProcess? = nil
  ) throws {
    directory = try TemporaryDirectory()
    self.state = state ?? directory.file("state")
    self.configuration = configuration
    self.predecessor = predecessor
    let port = try FreePorts.next()
    api = .ip("127.0.0.1", port)
    let own = "api: {address: \"\(api)\"}\nstate_directory: \(self.state)\n"
    try directory.write(own + configuration + "\n", to: "config.yaml")
    let command = launcher + [Self.binary, "run", "--config", directory.file("config.yaml")]
    process = try ChildProcess(
      command[0], Array(command.dropFirst()), environment: environment, outputs: directory, name: "leba")
  }

  /// Beside the test product, which the same build made. `LEBA_BINARY` names another one.
  package static var binary: String {
    if let chosen = ProcessInfo.processInfo.environment["LEBA_BINARY"] { return chosen }
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return (own as NSString).deletingLastPathComponent + "/leba"
  }

  /// Runs a command of the binary to its end.
  package static func command(_ arguments: String..., in workingDirectory: String? = nil) async throws -> CommandResult {
    try await run(binary, arguments, in: workingDirectory)
  }

  /// Runs a command that talks to this sidecar's API.
  package func command(_ arguments: String...) async throws -> CommandResult {
    try await run(Self.binary, arguments + ["--api", "http://\(api)"])
  }

  /// Replaces the configuration file by rename, the way editors and Kubernetes do. `api` and `state_directory` stay.
  package func rewrite(_ configuration: String) throws {
    let old = try String(contentsOfFile: directory.file("config.yaml"), encoding: .utf8)
    let own = old.split(separator: "\n", omittingEmptySubsequences: false).prefix(2).joined(separator: "\n") + "\n"
    try directory.write(own + configuration + "\n", to: "next.yaml")
    guard rename(directory.file("next.yaml"), directory.file("config.yaml")) == 0 else { throw TestFailure("cannot rename") }
  }

  // MARK: The process

  package var pid: Int32 { process.pid }
  package var isRunning: Bool { process.isRunning }
  package var log: String { process.errorOutput }
  package var residentMemory: Int { process.residentMemory }
  package var descriptorCount: Int { process.descriptorCount }
  package func signal(_ signal: Int32) { process.signal(signal) }
  @discardableResult
  package func ended(within limit: Duration = patience) async throws -> ChildProcess.Ending {
    try await process.ended(within: limit)
  }
  @discardableResult
  package func stop() async throws -> ChildProcess.Ending { try await process.terminate() }

  // MARK: The API

  package func get(_ path: String) async throws -> HTTP.Response { try await HTTP.get(path, from: api) }

  package func post(_ path: String, _ body: String) async throws -> HTTP.Response {
    try await HTTP.send("POST", path, body: body, headers: ["Content-Type": "application/json"], to: api)
  }

  package func delete(_ path: String) async throws -> HTTP.Response { try await HTTP.send("DELETE", path, to: api) }

  /// The item of `GET /dns/status` about one name.
  package func domain(_ name: String) async throws -> JSON {
    try await get("/api/v1/dns/status").json["domains"].array.first { $0["domain"].string == name } ?? .null
  }

  package func group(_ name: String) async throws -> Group { Group(json: try await get("/api/v1/groups/\(name)").json) }

  package func events(of group: String) async throws -> [JSON] {
    try await get("/api/v1/events?group=\(group)").json["events"].array
  }

  /// Waits until the group has `backend` as its healthy primary.
  @discardableResult
  package func untilPrimary(of name: String, is backend: String) async throws -> Group {
    try await eventually("\(backend) is the primary of \(name)") {
      let group = try await group(name)
      return group.primary == backend && group.primaryIsHealthy ? group : nil
    }
  }

  package func metrics() async throws -> Metrics { Metrics(text: try await get("/metrics").body) }
}

/// `GET /api/v1/groups/NAME`, with names for what tests look at.
package struct Group: Sendable, CustomStringConvertible {
  package let json: JSON

  package var primary: String? { json["primary_key"].string }
  package var primaryIsHealthy: Bool { json["primary_healthy"].bool == true }
  package var state: String? { json["state"].string }
  package var failoverCount: Int? { json["failover_count"].int }
  package var backends: [JSON] { json["backends"].array }
  package var ids: Set<String> { Set(backends.compactMap { $0["id"].string }) }
  package var eligible: Set<String> { Set(backends.filter { $0["eligible"].bool == true }.compactMap { $0["id"].string }) }
  package func backend(_ id: String) -> JSON { backends.first { $0["id"].string == id } ?? .null }
  package var description: String { json.description }
}

/// Prometheus text, looked up by name and labels.
package struct Metrics: Sendable {
  package struct Sample: Sendable {
    package let name: String
    package let labels: [String: String]
    package let value: Double
  }

  package let samples: [Sample]

  package init(text: String) {
    samples = text.split(separator: "\n").compactMap { line in
      guard !line.hasPrefix("#"), let space = line.lastIndex(of: " ") else { return nil }
      let series = line[..<space]
      let name = series.prefix { $0 != "{" }
      var labels: [String: String] = [:]
      // Labels of this product contain neither quotes nor commas.
      for pair in series.dropFirst(name.count).trimmingCharacters(in: ["{", "}"]).split(separator: ",") {
        let parts = pair.split(separator: "=", maxSplits: 1)
        if parts.count == 2 { labels[String(parts[0])] = parts[1].trimmingCharacters(in: ["\""]) }
      }
      return Double(line[line.index(after: space)...]).map { Sample(name: String(name), labels: labels, value: $0) }
    }
  }

  package var names: Set<String> { Set(samples.map(\.name)) }

  /// The sum over all series with these labels; nil when there is none.
  package func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    let matching = samples.filter { sample in
      sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
    }
    return matching.isEmpty ? nil : matching.map(\.value).reduce(0, +)
  }
}
