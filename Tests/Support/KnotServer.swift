import Foundation
import Synchronization

/// A real DNS server on loopback whose zones tests change while it runs. Queries are counted per zone.
package final class KnotServer: Sendable {
  package static let mainZone = "example.test"

  package typealias Record = DNSRecord

  package let port: UInt16
  package var endpoint: Endpoint { .ip("127.0.0.1", port) }
  private let negativeTTL: Int
  private let directory: TemporaryDirectory
  private let process = Mutex<ChildProcess?>(nil)
  private let serial = Atomic<Int>(0)

  package convenience init(_ records: Record...) async throws { try await self.init(zones: [Self.mainZone: records]) }

  /// - Parameter negativeTTL: how long "there is no such name" may be believed (the SOA's minimum).
  package init(zones: [String: [Record]], negativeTTL: Int = 1) async throws {
    port = try FreePorts.next()
    directory = try TemporaryDirectory()
    self.negativeTTL = negativeTTL
    for (zone, records) in zones { try writeZone(zone, records) }
    let entries = zones.keys.sorted().map { "  - domain: \($0)\n    file: \($0)\n" }.joined()
    try directory.write(
      """
      server:
        rundir: \(directory.path)
        pidfile: \(directory.file("knot.pid"))
        listen: 127.0.0.1@\(port)
        udp-workers: 1
        tcp-workers: 1
        background-workers: 1
      control:
        listen: \(directory.file("knot.sock"))
      database:
        storage: \(directory.path)
      log:
        - target: stderr
          any: info
      mod-stats:
        - id: counts
          query-type: on
      template:
        - id: default
          storage: \(directory.path)
          journal-content: none
          zonefile-sync: -1
          module: mod-stats/counts
      zone:
      \(entries)
      """, to: "knot.conf")
    try await start()
  }

  package func start() async throws {
    let child = try ChildProcess("knotd", ["-c", directory.file("knot.conf")], outputs: directory)
    process.withLock { $0 = child }
    try await eventually("knotd serves its zones") {
      try child.mustBeRunning()
      let zones = try await control(["zone-status"]).split(separator: "\n")
      return !zones.isEmpty && zones.allSatisfy { $0.contains("serial: ") && !$0.contains("serial: none") }
    }
  }

  /// Replaces the whole zone. The next query is answered from the new one.
  package func set(_ records: Record..., in zone: String = mainZone) async throws { try await replace(records, in: zone) }

  package func replace(_ records: [Record], in zone: String = mainZone) async throws {
    try writeZone(zone, records)
    try await control(["-b", "zone-reload", zone])
  }

  /// Queries of one type seen so far, for all names of the zone.
  package func queryCount(type: String, in zone: String = mainZone) async throws -> Int {
    let lines = try await control(["zone-stats", zone, "mod-stats.query-type"]).split(separator: "\n")
    return lines.first { $0.contains("[\(type)]") }?.split(separator: " ").last.flatMap { Int($0) } ?? 0
  }

  package func freeze() { process.withLock { $0 }?.signal(SIGSTOP) }
  package func thaw() { process.withLock { $0 }?.signal(SIGCONT) }

  package func stop() async throws { try await process.withLock { $0 }?.terminate() }

  private func writeZone(_ zone: String, _ records: [Record]) throws {
    let number = serial.wrappingAdd(1, ordering: .relaxed).newValue
    try directory.write(
      """
      $ORIGIN \(zone).
      @ 3600 SOA ns hostmaster \(number) 3600 600 86400 \(negativeTTL)
      @ 3600 NS ns
      ns 3600 A 127.0.0.1

      """ + records.map(\.zoneFileLine).joined(), to: zone)
  }

  @discardableResult
  private func control(_ arguments: [String]) async throws -> String {
    try await mustRun("knotc", ["-c", directory.file("knot.conf"), "-t", "10"] + arguments)
  }
}
