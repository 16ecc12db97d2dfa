import Model
import Testing

@testable import LebaConfiguration

/// Nothing that a file can hold traps or runs away. Every run replays from its seed.
@Suite struct HostileInputTests {
  /// A file with every key, so that mutations reach every reader.
  private static let corpus = [
    """
    zone: eu-1a
    engine: auto
    workers: 2
    state_directory: "${HOME}/leba"
    listeners:
      - {name: pg, address: "127.0.0.1:5432", group: pg, role: replica}
      - {name: web, address: "unix:/run/leba/web.sock", group: web}
    dns_resolver: {servers: ["127.0.0.1:5353", "[::1]:53"], timeout: 300ms, retry_attempts: 2, minimum_ttl: 1s,
      maximum_ttl: 5m, negative_ttl: 5s, hold_removed: 10s, allowed_cidrs: ["127.0.0.0/8"]}
    dns_backends:
      - domain: primary-db.example.com
        protocol: postgres
        port: 5432
        record: address
        weight: 1
        is_primary: true
        group_name: pg
        zone: eu-1a
        resolution_timeout: 5s
        resolution_interval: 30s
        ttl: 60s
        txt: false
    dns_backend_strings: ["api.example.com:80/http", "[::1]:80"]
    backends:
      - &a {id: a, address: 10.0.0.1, port: 80, protocol: http, weight: 1, zone: eu-1a}
      - {<<: *a, id: b, address: 10.0.0.2}
    """,
    """
    backends: [{id: a, address: 10.0.0.1, port: 80}]
    failover_groups:
      - name: web
        mode: active-passive
        backends: [a, x.example.com, "10.0.0.2:80"]
        primary: a
        balance: least_connections
        sticky: {cookie: c, ttl: 1h}
        failback: automatic
        failback_after: 5m
        maximum_failovers: {count: 4, within: 10m}
        health_check:
          type: http
          path: /health
          status: [200-299, 304]
          criteria: {all: [{http: {path: /ready}}, {any: [{tcp: {port: 9000}}]}], not: x}
          postgres: {user: leba, password_file: /nonexistent, depth: role, maximum_lag: 10s, tls: prefer}
    maintenance:
      - {backend: a, start: "2026-12-01T02:00:00Z", duration: 1h, repeat: weekly, pre_drain: 2m}
    api: {address: "127.0.0.1:8080"}
    api_port: "8080"
    api_security: {auth_enabled: true, jwt_secret: "${SECRET}", requests_per_minute: 60, allowed_cidrs: ["127.0.0.0/8"]}
    """, RequirementsDocument.definingGroups, RequirementsDocument.customHealthChecks,
  ]

  private static let pieces = [
    ":", "-", "{", "}", "[", "]", ",", "&a", "*a", "!!", "!!binary ", "|", ">", "%", "@", "`", "\"", "'", "#", "?", "<<: *a", "\n",
    "\t",
    "  ", "\r\n", "${HOME}", "${", "$${", "~", "null", "0", "-1", "999999999999999999999", "1e400", "0x10", "\\u0000", "\\uD800",
    "\u{0}", "\u{7F}", "\u{85}", "\u{2028}", "\u{FEFF}", "\u{FFFF}", "ß", "🦊", "---\n", "...\n", "zone", "backends", "a", "[]",
    "{}", "5s",
  ]

  @Test(arguments: UInt64(0)..<8)
  func mutatedFiles(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<400 {
      var bytes = Array(Self.corpus[Int.random(in: 0..<Self.corpus.count, using: &random)].utf8)
      for _ in 0..<Int.random(in: 1...8, using: &random) { mutate(&bytes, using: &random) }
      check(String(decoding: bytes, as: UTF8.self))
    }
  }

  @Test(arguments: UInt64(0)..<4)
  func soup(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<600 {
      let count = Int.random(in: 0...40, using: &random)
      check((0..<count).map { _ in Self.pieces.randomElement(using: &random) ?? "" }.joined())
    }
  }

  @Test func everyPrefixOfAFile() {
    for text in Self.corpus {
      for end in text.indices { check(String(text[..<end])) }
    }
  }

  private func mutate(_ bytes: inout [UInt8], using random: inout SeededGenerator) {
    let place = Int.random(in: 0...bytes.count, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes.insert(contentsOf: (Self.pieces.randomElement(using: &random) ?? "").utf8, at: place)
    case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
    case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 3: bytes.removeSubrange(place..<min(place + Int.random(in: 1...20, using: &random), bytes.count))
    case 4:
      let length = Int.random(in: 1...60, using: &random)
      let from = Int.random(in: 0...bytes.count, using: &random)
      bytes.insert(contentsOf: Array(bytes[from..<min(from + length, bytes.count)]), at: place)
    default: if place < bytes.count { bytes.remove(at: place) }
    }
  }

  /// Every outcome is a configuration, or errors of which each says where, what and what to do.
  private func check(_ yaml: String) {
    let environment = ["HOME": "/root", "SECRET": "0123456789abcdef0123456789abcdef"]
    do {
      let configuration = try Configuration.parse(yaml, file: "t.yaml", environment: environment)
      _ = configuration.detectionReport()
      for group in configuration.groups {
        #expect(!group.members.isEmpty, "\(yaml)")
        #expect(group.mode == .normal || group.members.contains(where: \.isPrimary), "\(yaml)")
      }
      #expect(Set(configuration.listeners.map(\.name)).count == configuration.listeners.count, "\(yaml)")
      #expect(Set(configuration.listeners.map(\.address)).count == configuration.listeners.count, "\(yaml)")
    } catch {
      #expect(error.diagnostics.contains { $0.severity == .error }, "\(yaml)")
      for diagnostic in error.diagnostics {
        #expect(diagnostic.position >= .start && !diagnostic.problem.isEmpty && !diagnostic.remedy.isEmpty, "\(yaml)")
        let isOneLine = diagnostic.description.allSatisfy { !$0.isNewline }
        #expect(isOneLine, "\(yaml)")
      }
    }
  }
}
