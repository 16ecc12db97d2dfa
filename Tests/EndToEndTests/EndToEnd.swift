import Foundation
import TestSupport
import Testing

/// The real binary between real servers: knot, PostgreSQL, nginx. One test at a time, because the machine is small and some of
/// them fill it; every test has servers and ports of its own.
@Suite(.serialized) enum EndToEnd {
  /// Makes loopback addresses acceptable as answers and takes `dns` as the only server.
  static func resolver(_ dns: KnotServer, holdRemoved: String = "1s") -> String {
    resolver([dns.endpoint], holdRemoved: holdRemoved)
  }

  static func resolver(_ servers: [Endpoint], holdRemoved: String = "1s", _ settings: String...) -> String {
    """
    dns_resolver:
      servers: [\(servers.map { "\"\($0)\"" }.joined(separator: ", "))]
      allowed_cidrs: ["127.0.0.0/8", "::1/128"]
      hold_removed: \(holdRemoved)
    \(settings.map { "  " + $0 }.joined(separator: "\n"))
    """
  }

  /// Two configured web servers, one the primary and one the backup, behind one listener.
  struct WebPair {
    let one: NginxServer
    let two: NginxServer
    let leba: LebaProcess
    let listener: Endpoint

    init(mode: String = "active-passive", group: String = "") async throws {
      one = try await NginxServer("one", host: "127.0.0.2")
      two = try await NginxServer("two", host: "127.0.0.3")
      listener = .ip("127.0.0.1", try FreePorts.next())
      leba = try await LebaProcess.start(
        """
        listeners: [{name: web, address: "\(listener)", group: web}]
        backends:
          - {id: one, address: 127.0.0.2, port: \(one.endpoint.port), protocol: http}
          - {id: two, address: 127.0.0.3, port: \(two.endpoint.port), protocol: http}
        failover_groups:
          - name: web
            mode: \(mode)
            backends: [one, two]
            primary: one
        \(group.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n"))
        """)
      try await leba.untilEligible(in: "web", ["one", "two"])
    }

    func server(limit: Duration = patience) async throws -> String {
      try await HTTP.get("/", from: listener, limit: limit).body
    }
  }
}

extension LebaProcess {
  func untilEligible(in name: String, _ backends: Set<String>) async throws {
    try await eventually("\(backends.sorted()) are eligible in \(name)") { try await group(name).eligible == backends }
  }
}

/// Keys that every answer about a group has (CONTRACT.md).
let groupKeys: Set<String> = [
  "name", "mode", "primary_key", "primary_healthy", "total_backends", "healthy_backends", "failed_backends", "last_failover",
  "failover_count", "state",
]

/// Keys of every backend in `GET /groups/NAME`.
let backendKeys: Set<String> = [
  "id", "address", "port", "protocol", "weight", "zone", "health", "score", "role", "administrative", "discovered", "eligible",
  "reason", "active_connections",
]

/// What `start` of a maintenance window takes.
func rfc3339(secondsFromNow seconds: Double) -> String {
  let formatter = ISO8601DateFormatter()
  formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
  return formatter.string(from: Date(timeIntervalSinceNow: seconds))
}
