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
  ///   - engine: of the data plane; what LEBA_ENGINE says where a test does not say, so that one switch runs everything on either.
  ///   - descriptorLimit: its RLIMIT_NOFILE, soft and hard.
  package static func start(
    _ configuration: String, environment: [String: String] = [:], state: String? = nil, launcher: [String] = [],
    engine: String? = engineUnderTest, descriptorLimit: Int? = nil, untilReady: Bool = true
  ) async throws -> LebaProcess {
    let limit = descriptorLimit.map { ["prlimit", "--nofile=\($0)", "--"] } ?? []
    return try await LebaProcess(
      configuration, environment: environment, state: state, launcher: launcher + limit, engine: engine
    ).started(untilReady)
  }

  /// Which engine the environment asks for.
  package static var engineUnderTest: String? { ProcessInfo.processInfo.environment["LEBA_ENGINE"] }

  /// Ends it by SIGKILL, frozen or not, and starts another one on the same state, and the same configuration or another one.
  package func restarted(on other: String? = nil, untilReady: Bool = true) async throws -> LebaProcess {
    process.signal(SIGKILL)
    try await ended()
    return try await LebaProcess(other ?? configuration, state: state, predecessor: self).started(untilReady)
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
    engine: String? = LebaProcess.engineUnderTest, predecessor: LebaProcess? = nil
  ) throws {
    directory = try TemporaryDirectory()
    self.state = state ?? directory.file("state")
    self.configuration = configuration
    self.predecessor = predecessor
    let port = try FreePorts.next()
    api = .ip("127.0.0.1", port)
    let own = "api: {address: \"\(api)\"}\nstate_directory: \(self.state)\n"
    try directory.write(own + configuration + "\n", to: "config.yaml")
    let command =
      launcher + [Self.binary, "run", "--config", directory.file("config.yaml")] + (engine.map { ["--engine", $0] } ?? [])
    process = try ChildProcess(
      command[0], Array(command.dropFirst()), environment: environment, outputs: directory, name: "leba")
  }

  /// A process that takes over from this one, on the same files.
  ///
  /// - Parameter configuration: the name of its file in the directory.
  package func takingOver(configuration: String = "config.yaml") throws -> LebaProcess {
    try LebaProcess(following: self, configuration: configuration)
  }

  /// The same, and waits until it is in charge.
  package func successor(configuration: String = "config.yaml") async throws -> LebaProcess {
    let next = try takingOver(configuration: configuration)
    try await eventually("the new process is in charge") {
      try next.process.mustBeRunning()
      return next.log.contains("the old process is followed")
    }
    return next
  }

  private init(following other: LebaProcess, configuration: String) throws {
    api = other.api
    directory = other.directory
    state = other.state
    self.configuration = other.configuration
    predecessor = other
    let engine = Self.engineUnderTest.map { ["--engine", $0] } ?? []
    process = try ChildProcess(
      Self.binary, ["run", "--config", other.directory.file(configuration), "--take-over"] + engine, outputs: other.directory,
      name: "leba-\(UInt32.random(in: 0 ... .max))")
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
  ///
  /// - Parameter name: of another file, for another process.
  package func rewrite(_ configuration: String, to name: String = "config.yaml") throws {
    let old = try String(contentsOfFile: directory.file("config.yaml"), encoding: .utf8)
    let own = old.split(separator: "\n", omittingEmptySubsequences: false).prefix(2).joined(separator: "\n") + "\n"
    try directory.write(own + configuration + "\n", to: "next.yaml")
    guard rename(directory.file("next.yaml"), directory.file(name)) == 0 else { throw TestFailure("cannot rename") }
  }

  // MARK: The process

  package var pid: Int32 { process.pid }
  package var isRunning: Bool { process.isRunning }
  package var log: String { process.errorOutput }
  package var residentMemory: Int { process.residentMemory }
  package var descriptorCount: Int { process.descriptorCount }

  /// The threads of the data plane, by their ids.
  package var workers: [Int32] {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
    return threads.compactMap(Int32.init).filter { readFile("/proc/\(pid)/task/\($0)/comm").hasPrefix("leba-worker") }
  }

  /// What the threads of the data plane have used of a processor so far.
  package var workerTime: Duration {
    // The first field of schedstat is nanoseconds on a processor.
    let times = workers.map { readFile("/proc/\(pid)/task/\($0)/schedstat").split(separator: " ").first.flatMap { Int64($0) } ?? 0 }
    return .nanoseconds(times.reduce(0, +))
  }
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
