import ArgumentParser
import ControlAPI
import Discovery
import Foundation
import LebaConfiguration
import Model

struct ResolveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resolve", abstract: "Show what discovery sees of a name: records, TTLs, outcome and server.",
    discussion: """
      Looks the name up as the sidecar would, with the resolver settings of the configuration; a name that the configuration \
      declares is asked for in the way it says. With --api it shows what a running sidecar knows instead.
      """)

  @Argument(help: "The name, for example db.example.com or _pg._tcp.example.com.") var name: String

  @Option(name: [.customLong("config"), .customShort("c")], help: "The configuration file. (default: config.yaml if there is one)")
  var path: String?

  @Option(name: .customLong("api"), help: "Ask the sidecar with this API: http://HOST:PORT or unix:PATH.")
  var url: String?

  @Option(help: "address or srv. (default: as declared, else srv for names that begin with '_')")
  var record: String?

  @Flag(help: "Read the TXT strings too.")
  var txt = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  private static let defaultPath = "config.yaml"

  func validate() throws {
    if let record, RecordKind(rawValue: record) == nil { throw ValidationError("'\(record)' is neither address nor srv") }
    if url != nil, path != nil { throw ValidationError("--config is for looking up, --api for asking a sidecar; use one of them") }
  }

  func run() async throws {
    let view = if let url { try await ask(url) } else { try await lookUp() }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.keyEncodingStrategy = .convertToSnakeCase
      print(String(decoding: try encoder.encode(view), as: UTF8.self))
    } else {
      for line in view.lines { print(line) }
    }
    if view.outcome != "answer" { throw CommandFailure(.requestFailed) }
  }

  private func ask(_ url: String) async throws -> DomainView {
    let status: DNSStatusView = try await APIClient(url: url).get("/api/v1/dns/status")
    let domain = DomainName(name).rawValue
    guard let view = status.domains.first(where: { $0.domain == domain }) else {
      throw CommandFailure(.requestFailed, "this sidecar does not watch '\(domain)'; without --api leba looks it up itself")
    }
    return view
  }

  private func lookUp() async throws -> DomainView {
    let configuration = try loadConfiguration()
    let (updates, continuation) = AsyncStream.makeStream(of: Void.self)
    let discovery: Discovery
    do {
      discovery = try Discovery(
        settings: configuration?.resolver ?? ResolverSettings(),
        ownListeners: configuration.map { $0.listeners.map(\.address) + [$0.apiAddress] } ?? [],
        seed: .random(in: .min ... .max), onUpdate: { _ in continuation.yield() },
        onNotice: { notice in printError("\(notice.text)") })
      try discovery.start()
    } catch {
      throw CommandFailure(.requestFailed, "cannot look up: \(error)")
    }
    defer { discovery.stop() }
    discovery.watch([specification(in: configuration)])
    for await _ in updates {
      // News of one family may come ahead of the end.
      if let status = discovery.status().first, status.lastOutcome != nil { return DomainView(status, now: .monotonicNow) }
    }
    throw CommandFailure(.requestFailed, "the lookup was interrupted")
  }

  private func loadConfiguration() throws -> Configuration? {
    guard path != nil || FileManager.default.fileExists(atPath: Self.defaultPath) else { return nil }
    return try Configuration.load(printing: path ?? Self.defaultPath, onError: .usage)
  }

  private func specification(in configuration: Configuration?) -> DomainSpecification {
    let domain = DomainName(name)
    let declared = configuration?.domains.first { $0.domain == domain }
    var specification = declared ?? DomainSpecification(domain: domain, record: name.hasPrefix("_") ? .srv : .address)
    if let record = record.flatMap(RecordKind.init) { specification.record = record }
    specification.readsText = specification.readsText || txt
    return specification
  }
}

extension DomainView {
  /// For people at a terminal.
  fileprivate var lines: [String] {
    var summary = "\(domain): \(outcome)"
    if let server { summary += " from \(server)" } else { summary += " (\(source.replacing("_", with: " ")))" }
    if let lastLookupSeconds { summary += " in \(Duration.milliseconds(Int64((lastLookupSeconds * 1000).rounded(.up))).text)" }
    if let ageSeconds, ageSeconds >= 1 { summary += ", \(Duration.seconds(Int64(ageSeconds)).text) ago" }
    var lines = [summary + ", next lookup in \(Duration.seconds(Int64(nextRefreshSeconds)).text)"]
    if !records.isEmpty {
      var table = TextTable(["ADDRESS", "PORT", "TIER", "WEIGHT", "TTL"])
      for record in records {
        table.add([
          record.address, record.port.map(String.init) ?? "-", String(record.tier), record.weight.map(String.init) ?? "-",
          record.named ? Duration.seconds(Int64(record.ttlLeftSeconds.rounded(.up))).text : "kept: the set rotates",
        ])
      }
      lines += table.lines(indent: 2)
    }
    for question in questions {
      let detail = question.detail.isEmpty ? "" : " (\(question.detail))"
      lines.append(
        "  \(question.type) \(question.name): \(question.outcome)\(detail)\(question.server.map { " from \($0)" } ?? "")")
    }
    if let attributes, !attributes.text.isEmpty { lines.append("  text: \(attributes.text)") }
    if !refused.isEmpty { lines.append("  refused: " + refused.map { "\($0.address) (\($0.reason))" }.joined(separator: ", ")) }
    return lines
  }
}

extension DomainView.Attributes {
  fileprivate var text: String {
    let pairs: [(String, String?)] = [
      ("is_primary", isPrimary.map(String.init)), ("group_name", groupName), ("weight", weight.map(String.init)), ("zone", zone),
      ("mode", mode), ("maintenance", maintenance.map(String.init)),
    ]
    return pairs.compactMap { key, value in value.map { "\(key)=\($0)" } }.joined(separator: " ")
  }
}
